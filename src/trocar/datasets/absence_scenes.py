"""Scenes that ask what was remembered: one target leaves the picture for long and returns changed; look-alikes come.

Seeded, with exact truth; a frame is rendered when it is asked for, so that a long absence takes no memory. The same
seed gives the same things on the same tissue for every length of the absence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.canvas import Camera, Canvas
from trocar.datasets.instruments import TOOLS, Picture, blade, placed, rod, tool_colour
from trocar.datasets.optics import Optics, wander
from trocar.datasets.shapes import Points, any_shape
from trocar.datasets.texture import OBJECTS, TISSUES, Material, any_material, nearby, render, varied
from trocar.frames import Frame
from trocar.geometry import Geometry

TARGET = 1  # its label; look-alikes have the labels after it
SEEN = 12  # frames that the target is seen before its absence, and after it
SLIDE = 3  # frames in which a thing enters or leaves
CONTRAST = 60  # least distance of a target's colour from the tissue's, grey levels
_IN_SIGHT = 0.7  # how far out a thing still shows, as a part of the way that takes it out of the picture


class RememberingScene:
    """A source with the truth about one target.

    Args:
        name: unique.
        paint: frame -> its picture and labels (TARGET; look-alikes above it); the same frame gives the same bytes.
        length: number of frames.
        size: rows and columns of a frame, pixels.
        returned: the frames after the target's return that show it; empty where it never leaves.
        look_alikes: whether labels above TARGET are look-alikes that a tracker may take for the target.
    """

    rate_hz: float | None = None

    def __init__(
        self,
        name: str,
        paint: Callable[[int], Picture],
        length: int,
        size: int,
        returned: Collection[int] = (),
        look_alikes: bool = False,
    ) -> None:
        self.name = name
        self.geometry = Geometry((size, size))
        self.returned = returned
        self.look_alikes = look_alikes
        self._paint = paint
        self._length = length
        self._newest: tuple[int, Picture] | None = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Frame:
        return Frame(index, self._picture(index).image)

    def truth(self, index: int) -> NDArray[np.uint8]:
        """(rows, columns) labels of a frame."""
        return self._picture(index).labels

    def _picture(self, index: int) -> Picture:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {len(self) - 1}")
        if self._newest is None or self._newest[0] != index:
            self._newest = (index, self._paint(index))
        return self._newest[1]


@dataclass(frozen=True, eq=False)
class Sprite:
    """A thing that can be laid over a picture.

    Args:
        image: (h, w, 4) RGB and opacity.
        anchor: the pixel (x, y) of it that it turns about.
        radius: how far the part that goes in and out of the picture reaches from the anchor, pixels.
        handle: whether it reaches in from outside along its own x axis, as instruments do.
    """

    image: NDArray[np.uint8]
    anchor: tuple[float, float]
    radius: float
    handle: bool = False


@dataclass(frozen=True, eq=False)
class Stay:
    """One stay of a thing in the picture.

    Args:
        first: its first frame, in which part of it shows.
        last: its last one.
        at: where its anchor is, pixels.
        angle_rad: how it is turned.
        scale: how large it is.
        enters: whether it comes in at `first`; else it is there when the scene begins.
        leaves: whether it goes out at `last`.
    """

    first: int
    last: int
    at: Points
    angle_rad: float
    scale: float = 1.0
    enters: bool = True
    leaves: bool = True

    def out(self, frame: int) -> float:
        """How far on its way out of the picture it is, from 0 to `_IN_SIGHT`."""
        steps = [frame - self.first] * self.enters + [self.last - frame] * self.leaves
        return _IN_SIGHT * max(0.0, 1 - min(steps, default=SLIDE) / SLIDE)


class Actor:
    """A thing with its stays, between which it is nowhere."""

    def __init__(self, rng: np.random.Generator, size: int, sprite: Sprite, label: int) -> None:
        self.sprite, self.label = sprite, label
        self._size = size
        self._x, self._y = wander(rng, 0.04 * size, 60), wander(rng, 0.04 * size, 60)
        self._turn, self._aside = wander(rng, 0.15, 70), rng.uniform(0, 2 * np.pi)

    def draw(self, picture: Picture, stay: Stay, frame: int, time: float) -> None:
        """Paint it as it is in this frame of a stay."""
        angle = stay.angle_rad + self._turn(time)
        aside = angle + np.pi if self.sprite.handle else stay.angle_rad + self._aside
        way = np.array([np.cos(aside), np.sin(aside)])
        at = stay.at + np.array([self._x(time), self._y(time)])
        border = np.where(way > 0, self._size - at, -at) / np.where(np.abs(way) > 1e-6, way, 1e-6)
        out = stay.out(frame) * (float(border.min()) + self.sprite.radius * stay.scale)
        affine = placed(self.sprite.anchor, at + out * way, angle, stay.scale)
        picture.paste(self.sprite.image, affine, self.label)


def drifting_sprite(rng: np.random.Generator, size: int, material: Material, radius: float) -> Sprite:
    """A flat piece of the material, in one part, of any shape that is not all edge."""
    side = int(radius * 4.5)
    mask = np.zeros((side, side), np.uint8)
    while not 0.6 < (mask > 127).sum() / (np.pi * radius**2) < 1.8 or _parts(mask) > 1:
        mask = any_shape(rng, side, np.full(2, side / 2), radius)
    surface = np.clip(render(rng, material, side)[..., :3], 0, 255).astype(np.uint8)
    image = np.dstack([surface, cv2.GaussianBlur(mask, (0, 0), 0.7 * size / 256)])
    rows, columns = np.nonzero(mask > 127)
    return Sprite(image, (float(columns.mean()), float(rows.mean())), radius)


def _parts(mask: NDArray[np.uint8]) -> int:
    return int(cv2.connectedComponents((mask > 127).astype(np.uint8))[0]) - 1


@dataclass(frozen=True, eq=False)
class ToolLook:
    """What an instrument looks like: a name in TOOLS, its shaft's width in pixels, RGB of shaft and tip, opening."""

    kind: str
    width: int
    colour: NDArray[np.float64]
    metal: NDArray[np.float64]
    opening_rad: float


def tool_sprite(rng: np.random.Generator, size: int, look: ToolLook) -> Sprite:
    """A rigid instrument along x with its tip to the right, long enough to reach out of the picture."""
    jaws, jaw_length, jaw_width, bend, _ = TOOLS[look.kind]
    length, tip = int(size * 1.5), int(max(6, look.width * jaw_length * 1.2)) if jaws else 0
    h, wrist = look.width * 6 + 4, max(6, look.width)
    # The ground shows through at soft edges only, so it has the shaft's colour.
    image = np.tile(np.clip(look.colour * 0.6, 0, 255).astype(np.uint8), (h, length + wrist + tip + 4, 1))
    made = Picture(image, np.zeros(image.shape[:2], np.uint8))
    for side in (1, -1)[:jaws]:
        jaw = blade(rng, tip, max(3.0, look.width * jaw_width), bend * side, look.metal)
        start = np.array([length + wrist - 3.0, h / 2])
        made.paste(jaw, placed((0, jaw.shape[0] / 2), start, look.opening_rad * side * (jaws == 2)), 255)
    middle = rod(rng, wrist, max(3, int(look.width * 0.85)), look.metal, 0.5)
    made.paste(middle, placed((0, middle.shape[0] / 2), np.array([length - 1.0, h / 2]), 0.0), 255)
    shaft = rod(rng, length, look.width, look.colour, 0.4)
    made.paste(shaft, placed((0, shaft.shape[0] / 2), np.array([0.0, h / 2]), 0.0), 255)
    opacity = cv2.GaussianBlur(made.labels, (0, 0), 0.6 * size / 256)
    return Sprite(np.dstack([made.image, opacity]), (length + wrist / 2, h / 2), tip + wrist / 2, handle=True)


class Recorder:
    """The light, the lens and the sensor of a scene. What they do to a frame does not depend on the frames before."""

    def __init__(self, rng: np.random.Generator, name: tuple[int, int], size: int) -> None:
        self._name = name
        self._stream = np.random.default_rng([*name, 1])
        # Smoke and a round picture would hide the target; whatever hides it here is the scene's own doing.
        self._optics = Optics(self._stream, size, endoscope=False)
        self._light = np.exp(rng.normal(0, 0.08, 3)) * rng.choice([0.65, 0.75, 1.3])

    def shot(self, image: NDArray[np.uint8], frame: int, time: float, changed: float) -> NDArray[np.uint8]:
        """The recorded image, in a light that is `changed` (0 to 1) from the first to another."""
        lit = np.clip(image * (1 + (self._light - 1) * changed), 0, 255).astype(np.uint8)
        # Noise is drawn from the stream that the optics were made with: each frame has its own place in it.
        self._stream.bit_generator.state = np.random.default_rng([*self._name, 2, frame]).bit_generator.state
        return self._optics.apply(lit, time)


class Stage:
    """Tissue below a moving camera."""

    def __init__(self, seed: int, kind: int, size: int) -> None:
        rng = np.random.default_rng([kind, seed])
        self.rng, self.size = rng, size
        names = list(TISSUES)
        self.backdrop = TISSUES[names[rng.integers(len(names))]]
        canvas = Canvas(rng, size, varied(rng, self.backdrop))
        for _ in range(int(rng.integers(2, 6))):
            at = rng.uniform(0.15, 0.85, 2) * canvas.side
            mask = any_shape(rng, canvas.side, at, size * rng.uniform(0.1, 0.35))
            canvas.paint(mask, varied(rng, TISSUES[names[rng.integers(len(names))]]), 0)
        canvas.unify()
        self._camera = Camera(rng, canvas)
        self._pan = wander(rng, 0.1 * size, 110), wander(rng, 0.1 * size, 110)
        self._recorder = Recorder(rng, (kind, seed), size)
        self._start, self._pace = rng.uniform(0, 1000), rng.uniform(1.5, 4)

    def time(self, frame: int) -> float:
        """The moment of a frame, in video frames."""
        return float(self._start + self._pace * frame)

    def bare(self, frame: int) -> Picture:
        """The tissue as the camera sees it, without any label."""
        time = self.time(frame)
        where = self._camera.look(time)
        where += np.array([pan(time) for pan in self._pan], np.float32)[:, None, None]
        picture = self._camera.shoot(where, time)
        picture.labels[:] = 0
        return picture

    def recorded(self, picture: Picture, frame: int, changed: float) -> Picture:
        """The picture as it is recorded, see `Recorder`."""
        return Picture(self._recorder.shot(picture.image, frame, self.time(frame), changed), picture.labels)


def absence_scene(seed: int, gap: int, size: int = 256) -> RememberingScene:
    """The target is seen, leaves for `gap` frames, and returns turned, of another size and in another light."""
    return _performance(f"absence-{gap}-{seed}", Stage(seed, 41, size), gap, look_alikes=0)


def distractor_scene(seed: int, gap: int, size: int = 256) -> RememberingScene:
    """As `absence_scene`, with look-alikes: one comes while the target is seen and stays on after it left, the other
    comes in its absence, to where it was, and is still there when it returns."""
    return _performance(f"distractor-{gap}-{seed}", Stage(seed, 42, size), gap, look_alikes=2)


def _performance(name: str, stage: Stage, gap: int, look_alikes: int) -> RememberingScene:
    rng, size = stage.rng, stage.size
    if rng.random() < 0.5:
        sprites = tool_sprites(rng, size, stage.backdrop, 1 + look_alikes)
    else:
        sprites = drifting_sprites(rng, size, stage.backdrop, 1 + look_alikes, size * rng.uniform(0.09, 0.15))
    actors = [Actor(rng, size, sprite, TARGET + place) for place, sprite in enumerate(sprites)]
    back = SEEN + gap  # the frame of the return
    side = rng.choice([-1.0, 1.0])
    here = size * (np.array([0.5 - 0.17 * side, 0.5]) + rng.uniform(-0.06, 0.06, 2))
    there = size * (np.array([0.5 + 0.2 * side, 0.5]) + rng.uniform(-0.06, 0.06, 2))
    if sprites[0].handle:  # instruments come from the side that they are on, lest they lie across one another
        turn = float(np.pi * (side < 0) + rng.normal(0, 0.3))
        turned = turn + np.pi + rng.choice([-1, 1]) * rng.uniform(0.3, 0.9)
    else:
        turn = float(rng.uniform(0, 2 * np.pi))
        turned = turn + rng.choice([-1, 1]) * rng.uniform(0.7, 2.5)
    scale = float(rng.choice([rng.uniform(0.62, 0.8), rng.uniform(1.25, 1.5)]))
    stays = [
        (0, Stay(0, SEEN - 1, here, turn, enters=False)),
        (0, Stay(back, back + SEEN - 1, there, turned, scale, leaves=False)),
    ]
    if look_alikes:
        stays.append((1, Stay(3, SEEN - 1 + max(3, gap // 3), there, turned + rng.normal(0, 0.3))))
        stays.append((2, Stay(SEEN + gap // 2, back + SEEN - 4, here, turn + rng.normal(0, 0.3))))

    def paint(frame: int) -> Picture:
        picture = stage.bare(frame)
        for place, stay in reversed(stays):  # the target lies above its look-alikes
            if stay.first <= frame <= stay.last:
                actors[place].draw(picture, stay, frame, stage.time(frame))
        return stage.recorded(picture, frame, float(np.clip((frame - SEEN) / max(gap, 1), 0, 1)))

    return RememberingScene(name, paint, back + SEEN, size, range(back, back + SEEN), look_alikes > 0)


def tool_sprites(rng: np.random.Generator, size: int, backdrop: Material, count: int) -> list[Sprite]:
    """An instrument that stands out from the backdrop, then others of its kind that a person can tell from it."""
    kinds = [name for name, (jaws, *_) in TOOLS.items() if jaws]
    colour = tool_colour(rng)
    while _distance(colour, backdrop) < CONTRAST:
        colour = tool_colour(rng)
    kind, width = kinds[rng.integers(len(kinds))], int(size * rng.uniform(0.07, 0.12))
    look = ToolLook(kind, width, colour, np.full(3, rng.uniform(90, 200)), float(rng.uniform(0.2, 0.6)))
    return [tool_sprite(rng, size, look if place == 0 else tool_look_alike(rng, look)) for place in range(count)]


def drifting_sprites(
    rng: np.random.Generator, size: int, backdrop: Material, count: int, radius: float
) -> list[Sprite]:
    """A flat thing that stands out from the backdrop, then others of nearly its colour and of other shapes."""
    names = list(OBJECTS)
    material = backdrop
    while _distance(_mean(material), backdrop) < CONTRAST:
        named = rng.random() < 0.6
        material = varied(rng, OBJECTS[names[rng.integers(len(names))]]) if named else any_material(rng)
    materials = [material] + [nearby(rng, material) for _ in range(count - 1)]
    return [drifting_sprite(rng, size, one, radius * rng.uniform(0.9, 1.1)) for one in materials]


def tool_look_alike(rng: np.random.Generator, look: ToolLook) -> ToolLook:
    """Another instrument of the same kind that a person can tell from it: lighter or darker, and opened otherwise."""
    shift = rng.uniform(40, 70) * (1 if look.colour.mean() < 110 else -1)
    return replace(
        look,
        width=int(look.width * rng.uniform(0.85, 1.15)),
        colour=look.colour + shift,
        metal=look.metal + rng.choice([-1, 1]) * rng.uniform(25, 50),
        opening_rad=float(rng.uniform(0.1, 0.7)),
    )


def _mean(material: Material) -> NDArray[np.float64]:
    return np.asarray(np.mean([material.dark, material.light], axis=0), np.float64)


def _distance(colour: NDArray[np.float64], material: Material) -> float:
    """Grey levels between a colour and a material's mean, all channels together."""
    return float(np.linalg.norm(colour - _mean(material)))
