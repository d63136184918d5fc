"""Scenes with seven look-alike instruments: what asking by a class's name is trained and measured on.

The instruments are named as in EndoVis 2018. All have dark shafts of the same sizes and greys; classes are told apart
by the shape of the tip and by bright marks on the shaft. Most classes are absent from most clips, one class may be
there with two instruments, and instruments withdraw and return. The same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.canvas import Camera, Canvas, clip_of
from trocar.datasets.clip import Clip
from trocar.datasets.instruments import Instrument, Parts, rod
from trocar.datasets.optics import Optics, times
from trocar.datasets.shapes import Points, any_shape, band, fill
from trocar.datasets.texture import TISSUES, varied

Image = NDArray[np.uint8]
Profile = Callable[[NDArray[np.float64]], NDArray[np.floating[Any]]]

COUNT_SHARES = (0.06, 0.3, 0.4, 0.24)  # clips with no, one, two and three instruments
TWINS = 0.12  # how often the next instrument is of the class of the one before
WIDTH = (0.07, 0.13)  # of a shaft over the frame's side
SHAFT_GREY, TIP_GREY = (25, 75), (110, 200)

#: What the shaft of a class bears: (x, y) -> how bright it is made, 0 to 1; x in shaft widths from its end, y across it
#: from -1 to 1.
Marks = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Look:
    """How a class looks. Lengths are in shaft widths; along a jaw x runs from 0 at the wrist to 1 at the end.

    Args:
        jaws: how many.
        length: of a jaw.
        middle: x -> how far the middle of the upper jaw lies off the axis; the lower one mirrors it.
        thick: x -> how thick a jaw is.
        marks: on the shaft.
        opening: how far jaws open, radians.
        parallel: both jaws bend to the same side instead of to either.
        holes: (x, length) of holes through a jaw; with one jaw, of dark spots on it.
        stripes: dark stripes across a jaw, or teeth.
    """

    jaws: int
    length: float
    middle: Profile
    thick: Profile
    marks: Marks
    opening: float = 0.0
    parallel: bool = False
    holes: tuple[tuple[float, float], ...] = ()
    stripes: int = 0


def _rings(every: float, wide: float, bright: float) -> Marks:
    return lambda x, y: bright * ((x % every) < wide)


#: Class name -> its look. EndoVis 2018's seven.
LOOKS: dict[str, Look] = {
    "bipolar forceps": Look(
        2, 3.0, lambda x: 0.12 + 0.5 * np.sin(np.pi * x), lambda x: 0.36 - 0.14 * x, _rings(1.6, 0.5, 1.0), 0.25
    ),
    "prograsp forceps": Look(
        2,
        2.6,
        lambda x: 0.34 + 0 * x,
        lambda x: 0.68 - 0.25 * x**6,
        lambda x, y: 0.9 * (np.abs(y) < 0.3) * ((x % 1.2) < 0.7),
        0.45,
        holes=((0.3, 0.5),),
    ),
    "large needle driver": Look(
        2, 1.6, lambda x: 0.26 + 0 * x, lambda x: 0.56 - 0.22 * x**2, _rings(0.5, 0.25, 0.8), 0.4, stripes=6
    ),
    "monopolar curved scissors": Look(
        2,
        2.8,
        lambda x: 0.12 + 0.85 * x**2,
        lambda x: 0.46 - 0.38 * x,
        lambda x, y: 1.0 * (x < 3.0),
        0.4,
        parallel=True,
    ),
    "ultrasound probe": Look(
        1, 2.8, lambda x: 0.25 + 0 * x, lambda x: 1.2 - 0.6 * x**8, lambda x, y: 0.8 * (np.sin(9 * y) > 0.3), stripes=9
    ),
    "suction instrument": Look(
        1, 2.6, lambda x: 0 * x, lambda x: 0.6 + 0 * x, lambda x, y: 0 * x, holes=((0.4, 0.1), (0.6, 0.1), (0.8, 0.1))
    ),
    "clip applier": Look(
        2,
        2.2,
        lambda x: np.clip(3.2 * x, 0, 0.8),
        lambda x: 0.3 + 0.34 * (x > 0.85),
        lambda x, y: 0.9 * (np.sin(2 * np.pi * (x + y) / 1.3) > 0.2),
        0.15,
    ),
}
#: The classes, in the order of their numbers 1 to 7.
LOOKALIKES: tuple[str, ...] = tuple(LOOKS)


def lookalike_scene(seed: int, frames: int = 4, size: int = 256) -> Clip:
    """One clip of tissue with instruments of none, some or one of the seven classes.

    Args:
        seed: 0 or more; decides everything.
        frames: number of frames.
        size: rows and columns of a frame, pixels.

    Returns:
        A clip named "lookalike-SEED" whose objects are single instruments; two may share a class name.

    Raises:
        ValueError: a negative seed, no frames, or a frame under 32 pixels.
    """
    if seed < 0 or frames < 1 or size < 32:
        raise ValueError(f"lookalike_scene({seed=}, {frames=}, {size=}): need seed >= 0, frames >= 1 and size >= 32")
    rng = np.random.default_rng([17, seed])
    tissues = list(TISSUES)
    canvas = Canvas(rng, size, varied(rng, TISSUES[tissues[rng.integers(len(tissues))]]))
    for _ in range(int(rng.integers(1, 4))):
        outline = any_shape(rng, canvas.side, rng.uniform(0.2, 0.8, 2) * canvas.side, size * rng.uniform(0.08, 0.35))
        canvas.paint(outline, varied(rng, TISSUES[tissues[rng.integers(len(tissues))]]), 0)
    canvas.unify()
    moments = times(rng, frames)
    camera, optics = Camera(rng, canvas), Optics(rng, size)
    tools = _instruments(rng, canvas, float(moments[-1] - moments[0]))
    shutter = rng.choice([0.0, 0.5, 2.0])
    images = np.empty((frames, size, size, 3), np.uint8)
    labels = np.empty((frames, size, size), np.uint8)
    for index, time in enumerate(moments.tolist()):
        picture = camera.shoot(camera.look(time), time)
        for tool in tools:
            tool.draw(picture, time)
        speed = camera.speed(time)
        images[index] = optics.apply(picture.image, time, (speed[0] * shutter, speed[1] * shutter))
        if optics.lens is not None:
            picture.labels[optics.lens] = 0
        labels[index] = picture.labels
    return clip_of(f"lookalike-{seed}", images, labels, canvas.classes)


def class_map(clip: Clip, names: tuple[str, ...] = LOOKALIKES) -> NDArray[np.uint8]:
    """(T, H, W) class numbers of a clip, from 1 in the order of `names`; objects of other classes are background."""
    table = np.zeros(256, np.uint8)
    for number, name in clip.classes.items():
        table[number] = names.index(name) + 1 if name in names else 0
    return table[clip.labels]


def _instruments(rng: np.random.Generator, canvas: Canvas, duration: float) -> list[Instrument]:
    tools: list[Instrument] = []
    name = LOOKALIKES[rng.integers(len(LOOKALIKES))]
    for _ in range(int(rng.choice(len(COUNT_SHARES), p=COUNT_SHARES))):
        tools.append(Instrument(rng, canvas.size, canvas.add(name), lookalike_parts(rng, canvas.size, name), duration))
        if rng.random() > TWINS:
            name = LOOKALIKES[rng.integers(len(LOOKALIKES))]
    return tools


def lookalike_parts(rng: np.random.Generator, size: int, name: str) -> Parts:
    """An instrument of a class in LOOKS for a frame of `size` pixels; its size and its greys do not tell its class."""
    look = LOOKS[name]
    width = max(3, int(size * rng.uniform(*WIDTH)))
    colour = np.full(3, rng.uniform(*SHAFT_GREY)) + rng.normal(0, 4, 3)
    metal = np.full(3, rng.uniform(*TIP_GREY)) + rng.normal(0, 6, 3)
    shaft = _marked(rod(rng, int(size * 1.9), width, colour, rng.uniform(0, 0.6), marked=0), width, look.marks, rng)
    wrist = rod(rng, max(6, int(width * rng.uniform(0.5, 0.9))), max(3, int(width * 0.85)), metal, 0.5, marked=0)
    stretch = rng.uniform(0.85, 1.2)
    upper = _jaw(rng, look, width, stretch, metal)
    jaws = [upper] if look.jaws == 1 else [upper, upper if look.parallel else np.ascontiguousarray(upper[::-1])]
    return Parts(shaft, wrist, jaws, width, look.opening)


def _jaw(rng: np.random.Generator, look: Look, width: int, stretch: float, colour: NDArray[np.float64]) -> Image:
    """A jaw along x whose axis is the middle of its height, (h, length, 4)."""
    length = max(6, int(width * look.length * stretch))
    x = np.linspace(0, 1, 24)
    height = 2 * int(width * 1.4) + 4
    path: Points = np.stack([1 + x * (length - 3), height / 2 - look.middle(x) * width], 1)
    thick = np.maximum(look.thick(x) * width, 2.0)
    thick[-1] *= 0.6  # a rounded end
    alpha = fill((height, length), band(path, thick))
    light = fill((height, length), band(path - [0, 0.15 * width], thick * 0.4)).astype(np.float32) / 255
    picture = colour * 0.75 + (light * rng.uniform(15, 60) + rng.normal(0, 4, (height, length)))[..., None]
    if look.stripes:
        along = np.arange(length) * 2 * look.stripes // length % 2
        picture *= np.where(along > 0, 1.0, 0.55)[None, :, None]
    for start, reach in look.holes:
        inside = (x >= start) & (x <= start + reach) if reach > 0.2 else np.abs(x - start) < 0.05
        hole = fill((height, length), band(path[inside], thick[inside] * 0.45)) if inside.sum() > 1 else None
        if hole is not None and look.jaws == 1:
            picture *= 1 - 0.85 * (hole.astype(np.float32) / 255)[..., None]
        elif hole is not None:
            alpha = np.minimum(alpha, 255 - hole)
    return np.dstack([np.clip(picture, 0, 255).astype(np.uint8), alpha])


def _marked(shaft: Image, width: int, marks: Marks, rng: np.random.Generator) -> Image:
    """The shaft, whose end is at the right, with what its class bears: bright where marks are 1, as worn as drawn."""
    rows, columns = shaft.shape[:2]
    x = (columns - 1 - np.arange(columns, dtype=np.float64))[None, :] / width
    y = ((np.arange(rows, dtype=np.float64) - (rows - 1) / 2) / (width / 2))[:, None]
    strength = np.broadcast_to(np.asarray(marks(x, y), np.float64), (rows, columns)) * rng.uniform(0.6, 1.0)
    soft = cv2.GaussianBlur(strength.astype(np.float32), (0, 0), 0.6)[..., None]
    shade = np.sqrt(np.clip(1 - y**2, 0, 1))[..., None]
    out = shaft.copy()
    out[..., :3] = np.clip(out[..., :3] + soft * (shade * rng.uniform(120, 170)), 0, 255).astype(np.uint8)
    return out
