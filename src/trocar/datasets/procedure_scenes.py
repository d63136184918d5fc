"""Short rendered clips of four surgical domains, for pretraining and recognition without patient data.

The domains are those of SurgRec (its section 4.1). They differ in field of view, tissue, colours and instruments; each
has several procedures, which differ in look. Every domain has one task whose label needs motion, because no single
frame tells it, and one whose label needs appearance. Labels do not depend on the procedure.

The same seed gives the same bytes; nothing is read from disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.canvas import Canvas, seen
from trocar.datasets.instruments import TOOLS, Picture, blade, placed, rod
from trocar.datasets.optics import Optics, wander
from trocar.datasets.procedure_looks import LOOKS, SHARES, Look
from trocar.datasets.shapes import any_shape, band, blob
from trocar.datasets.texture import TISSUES, Float, Material, fractal_noise, varied

Image = NDArray[np.uint8]

DOMAINS: tuple[str, ...] = tuple(LOOKS)
PROCEDURES: dict[str, tuple[str, ...]] = {domain: tuple(looks) for domain, looks in LOOKS.items()}
#: Domain -> task -> its classes; the first task of each needs motion, the second appearance.
TASKS: dict[str, dict[str, tuple[str, ...]]] = {
    "cataract": {"motion": ("push", "pull", "circle"), "instrument": ("blade", "forceps", "phaco tip")},
    "robotic": {
        "gesture": ("reach", "retract", "grip", "sweep"),
        "instrument": ("needle driver", "scissors", "hook"),
    },
    "endoscopy": {
        "movement": ("insertion", "withdrawal", "turn left", "turn right"),
        "finding": ("normal", "polyp", "ulcer", "bleeding"),
    },
    "laparoscopy": {
        "action": ("advance", "withdraw", "sweep", "hold"),
        "instrument": ("grasper", "hook", "suction tube"),
    },
}
#: What is drawn for an instrument that the shapes of `TOOLS` do not have.
_DRAWN_AS = {"blade": "probe", "phaco tip": "suction tube"}


@dataclass(frozen=True, eq=False)
class ProcedureClip:
    """One clip.

    Args:
        images: (T, S, S, 3) RGB.
        labels: task -> index into its classes in `TASKS[domain]`.
    """

    domain: str
    procedure: str
    images: Image
    labels: dict[str, int]


def procedure_clip(
    seed: int, domain: str, procedure: str | None = None, frames: int = 8, side: int = 64
) -> ProcedureClip:
    """Render a clip.

    Args:
        seed: 0 or more; decides everything that the other arguments leave open.
        domain: one of `DOMAINS`.
        procedure: one of `PROCEDURES[domain]`; each equally often when None.
        frames: number of frames; whatever their number, an action happens once in them.
        side: rows and columns, pixels.

    Raises:
        ValueError: an unknown domain or procedure, a negative seed, no frames, or a side under 32.
    """
    if domain not in LOOKS:
        raise ValueError(f"unknown domain {domain!r}: choose one of {', '.join(DOMAINS)}")
    if procedure is not None and procedure not in LOOKS[domain]:
        raise ValueError(f"{domain} has no procedure {procedure!r}: choose one of {', '.join(PROCEDURES[domain])}")
    if seed < 0 or frames < 1 or side < 32:
        raise ValueError(f"procedure_clip({seed=}, {frames=}, {side=}): need seed >= 0, frames >= 1 and side >= 32")
    rng = np.random.default_rng([20, seed, DOMAINS.index(domain)])
    drawn = PROCEDURES[domain][rng.integers(len(PROCEDURES[domain]))]
    procedure = procedure or drawn
    labels = {task: int(rng.integers(len(classes))) for task, classes in TASKS[domain].items()}
    names = [classes[label] for classes, label in zip(TASKS[domain].values(), labels.values(), strict=True)]
    images = _PAINTERS[domain](rng, LOOKS[domain][procedure], (names[0], names[1]), frames, side)
    return ProcedureClip(domain, procedure, images, labels)


def draw_procedure(rng: np.random.Generator) -> tuple[str, str]:
    """A domain and a procedure, drawn as often as a raw corpus shows them: most of it is a few procedures."""
    names = list(SHARES)
    shares = np.array(list(SHARES.values()))
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _cataract(rng: np.random.Generator, look: Look, names: tuple[str, str], frames: int, side: int) -> Image:
    """The eye under the microscope: sclera, iris and pupil, thin bright instruments, lamps mirrored in the cornea."""
    canvas = Canvas(rng, side, varied(rng, look.ground, 0.4))
    centre = np.full(2, canvas.side / 2) + rng.normal(0, side * 0.03, 2)
    iris, pupil = side * rng.uniform(0.36, 0.44), side * rng.uniform(0.18, 0.26)
    canvas.paint(canvas.mask(blob(rng, centre, iris, 0.02)), varied(rng, look.organs[0], 0.5), 0)
    canvas.paint(canvas.mask(blob(rng, centre, pupil, 0.04)), varied(rng, look.organs[1], 0.5), 0)
    for shift in rng.uniform(-0.4, 0.4, (2, 2)) * pupil:
        glint = canvas.mask(blob(rng, centre + shift, side * 0.02, 0.05))
        canvas.surface[..., :3] += glint[..., None] * np.float32(0.9)
    tool = _Tool(rng, side, names[1], width=rng.uniform(0.05, 0.08), shade=190)
    return _film(rng, look, canvas, [(tool, names[0])], frames)


def _robotic(rng: np.random.Generator, look: Look, names: tuple[str, str], frames: int, side: int) -> Image:
    """Two wristed instruments with dark shafts over a training pad or tissue; the label is the right one's."""
    canvas = _field(rng, look, side)
    if look.marks:
        for x in np.linspace(0.25, 0.75, look.marks) * canvas.side:
            line = np.stack([np.full(8, x), np.linspace(0.3, 0.7, 8) * canvas.side], 1)
            canvas.surface[canvas.mask(band(line, side * 0.03)) > 127, :3] = 25
    right = _Tool(rng, side, names[1], width=rng.uniform(0.11, 0.15), shade=42, from_deg=rng.uniform(-20, 50))
    other = ("needle driver", "scissors", "hook")[rng.integers(3)]
    left = _Tool(rng, side, other, width=rng.uniform(0.11, 0.15), shade=42, from_deg=rng.uniform(130, 200))
    return _film(rng, look, canvas, [(left, "hold"), (right, names[0])], frames)


def _laparoscopy(rng: np.random.Generator, look: Look, names: tuple[str, str], frames: int, side: int) -> Image:
    """Organs in a wide field, and one long straight instrument."""
    tool = _Tool(rng, side, names[1], width=rng.uniform(0.08, 0.14), shade=float(rng.choice([60, 150])))
    return _film(rng, look, _field(rng, look, side), [(tool, names[0])], frames)


def _endoscopy(rng: np.random.Generator, look: Look, names: tuple[str, str], frames: int, side: int) -> Image:
    """The inside of a hollow organ: folds about a dark lumen, and what is found on its wall."""
    canvas = Canvas(rng, side, varied(rng, look.ground, 0.4))
    centre = np.full(2, canvas.side / 2) + rng.normal(0, side * 0.06, 2)
    if names[1] != "normal":
        turn = rng.uniform(0, 2 * np.pi)
        at = centre + side * rng.uniform(0.2, 0.3) * np.array([np.cos(turn), np.sin(turn)])
        _finding(rng, canvas, names[1], at, look)
    rows, columns = np.mgrid[0 : canvas.side, 0 : canvas.side].astype(np.float32)
    away = np.hypot(columns - np.float32(centre[0]), rows - np.float32(centre[1])) / np.float32(side)
    away = away * (1 + np.float32(0.12) * fractal_noise(rng, canvas.side, 3, 2)) + np.float32(0.01)
    folds = np.sin(np.log(away) * np.float32(look.folds) + np.float32(rng.uniform(0, 6.3)))
    light = np.clip((away - np.float32(look.lumen)) * 5, 0.05, 1) * (1 + np.float32(0.2) * folds * (look.folds > 0))
    canvas.surface[..., :3] *= light[..., None]
    return _film(rng, look, canvas, [], frames, names[0])


def _finding(rng: np.random.Generator, canvas: Canvas, name: str, at: NDArray[np.float64], look: Look) -> None:
    size = canvas.size
    if name == "polyp":
        mask = canvas.mask(blob(rng, at, size * rng.uniform(0.09, 0.13), 0.12))
        canvas.paint(mask, varied(rng, TISSUES["inflamed"], 0.4), 0)
        glint = canvas.mask(blob(rng, at - size * 0.03, size * 0.02, 0.1))
        canvas.surface[..., :3] += glint[..., None] * np.float32(0.6)
    elif name == "ulcer":
        canvas.paint(canvas.mask(blob(rng, at, size * 0.13, 0.3)), varied(rng, TISSUES["inflamed"], 0.3), 0)
        pale = Material((205, 190, 140), (244, 236, 200), cells=8)
        canvas.paint(canvas.mask(blob(rng, at, size * 0.085, 0.35)), varied(rng, pale, 0.3), 0)
    else:
        stain = np.clip(1.2 - 7 * np.abs(_distance(canvas, at) - 0.05 * fractal_noise(rng, canvas.side, 6, 3)), 0, 1)
        blood = np.asarray((118, 6, 8), np.float32)
        canvas.surface[..., :3] += (blood - canvas.surface[..., :3]) * (stain * np.float32(0.92))[..., None]


def _distance(canvas: Canvas, at: NDArray[np.float64]) -> Float:
    rows, columns = np.mgrid[0 : canvas.side, 0 : canvas.side].astype(np.float32)
    return np.asarray(np.hypot(columns - np.float32(at[0]), rows - np.float32(at[1])) / canvas.size, np.float32)


def _field(rng: np.random.Generator, look: Look, side: int) -> Canvas:
    """The ground with the look's organs on it."""
    canvas = Canvas(rng, side, varied(rng, look.ground, 0.4))
    for organ in look.organs:
        at = rng.uniform(0.25, 0.75, 2) * canvas.side
        canvas.paint(any_shape(rng, canvas.side, at, side * rng.uniform(0.18, 0.34)), varied(rng, organ, 0.4), 0)
    canvas.unify()
    return canvas


class _Tool:
    """An instrument that comes in from the direction `from_deg` (0: right, 90: below) and is moved by an action."""

    def __init__(
        self, rng: np.random.Generator, side: int, kind: str, width: float, shade: float, from_deg: float | None = None
    ) -> None:
        jaws, length, thick, bend, self._opening = TOOLS[_DRAWN_AS.get(kind, kind)]
        pixels = max(3, round(side * width))
        colour, metal = np.full(3, shade) + rng.normal(0, 8, 3), np.full(3, rng.uniform(150, 200))
        self._shaft = rod(rng, int(side * 1.6), pixels, colour, 0.4)
        if kind == "phaco tip":  # a coloured sleeve tells it from a bare tube
            self._shaft[:, -int(side * 0.16) :, :3] = (40, 110, 190)
        self._wrist = rod(rng, max(6, round(pixels * 1.1)), max(3, round(pixels * 0.8)), metal, 0.5)
        self._jaws = [
            blade(rng, max(6, int(pixels * length * 1.4)), max(3.0, pixels * thick), bend * sign, metal)
            for sign in (1, -1)[:jaws]
        ]
        angle = np.radians(rng.uniform(0, 360) if from_deg is None else from_deg)
        outward = np.array([np.cos(angle), np.sin(angle)])
        self._heading = float(np.arctan2(-outward[1], -outward[0]))
        self._rest = side / 2 + outward * side * rng.uniform(0.02, 0.16)
        self._pivot = side / 2 + outward * side * 1.1
        self._side = side
        self._way = float(rng.choice([-1.0, 1.0]))
        self._offset = float(rng.uniform(-0.06, 0.06)) * side
        self._tremor = (wander(rng, 0.012 * side, 2.0), wander(rng, 0.012 * side, 2.0))

    def draw(self, picture: Picture, action: str, phase: float) -> None:
        """Paint it at `phase`, 0 at the beginning of the action and 1 at its end."""
        along, turn, opening = _moved(action, phase, self._way)
        reach = float(np.hypot(*(self._rest - self._pivot))) + along * self._side + self._offset
        angle = self._heading + turn
        tip = self._pivot + reach * np.array([np.cos(angle), np.sin(angle)])
        tip = tip + np.array([one(phase) for one in self._tremor])
        if action == "circle":
            around = 2 * np.pi * phase * self._way
            tip = tip + 0.14 * self._side * np.array([np.cos(around), np.sin(around)])
        h, w = self._shaft.shape[:2]
        wrist_end = tip + np.array([np.cos(angle), np.sin(angle)]) * (self._wrist.shape[1] - 2)
        for jaw, sign in zip(self._jaws, (1, -1), strict=False):
            spread = sign * opening * self._opening if len(self._jaws) == 2 else 0.0
            picture.paste(jaw, placed((0, jaw.shape[0] / 2), wrist_end, angle + spread), None)
        if self._jaws:
            picture.paste(self._wrist, placed((1, self._wrist.shape[0] / 2), tip, angle), None)
        picture.paste(self._shaft, placed((w - 1, h / 2), tip, angle), None)


def _moved(action: str, phase: float, way: float) -> tuple[float, float, float]:
    """How far an action has pushed (sides), turned (radians) and opened (0..1) an instrument.

    Opposite actions pass through the same positions in the opposite order, so that a single frame cannot tell them.
    """
    if action in ("push", "reach", "advance"):
        return 0.3 * (phase - 0.5), 0.0, 0.4
    if action in ("pull", "retract", "withdraw"):
        return 0.3 * (0.5 - phase), 0.0, 0.4
    if action == "sweep":
        return 0.0, 0.36 * way * (phase - 0.5), 0.4
    if action == "grip":
        return 0.0, 0.0, float(0.5 - 0.5 * np.cos(4 * np.pi * phase))
    return 0.0, 0.0, 0.4


def _film(
    rng: np.random.Generator,
    look: Look,
    canvas: Canvas,
    tools: list[tuple[_Tool, str]],
    frames: int,
    movement: str = "",
) -> Image:
    """Look at the canvas, lay the instruments over it, and record each frame."""
    side = canvas.size
    optics = Optics(rng, side, endoscope=look.view != "full")
    black = _outside(side, look.view, rng)
    shake = [wander(rng, 0.012 * side, 2.0) for _ in range(2)]
    surface = np.clip(canvas.surface, 0, 255).astype(np.uint8)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    images = np.empty((frames, side, side, 3), np.uint8)
    for index, phase in enumerate(np.linspace(0, 1, frames).tolist() if frames > 1 else [0.5]):
        zoom, aside = _camera(movement, phase)
        where = np.empty((2, side, side), np.float32)
        for axis, (pixel, one) in enumerate(zip((x, y), shake, strict=True)):
            middle = canvas.side / 2 + one(phase) + (aside * side if axis == 0 else 0)
            where[axis] = (pixel - np.float32(side / 2)) / np.float32(zoom) + np.float32(middle)
        image = np.ascontiguousarray(seen(surface, where)[..., :3])
        picture = Picture(image, np.zeros((side, side), np.uint8))
        for tool, action in tools:
            tool.draw(picture, action, phase)
        images[index] = optics.apply(picture.image, 12 * phase)
        images[index][black] = 4
    return images


def _camera(movement: str, phase: float) -> tuple[float, float]:
    """Zoom, and shift to the right in sides, of an endoscope that moves."""
    if movement in ("insertion", "withdrawal"):
        sign = 1 if movement == "insertion" else -1
        return float(np.exp(sign * 0.55 * (phase - 0.5)) * 1.05), 0.0
    sign = {"turn left": -1, "turn right": 1}.get(movement, 0)
    return 1.0, sign * 0.28 * (phase - 0.5)


def _outside(side: int, view: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The pixels that the field of view leaves black."""
    grid = np.abs(np.arange(side) - (side - 1) / 2) / side
    across, down = grid[None, :], grid[:, None]
    if view == "round":
        return np.asarray(np.hypot(across, down) > rng.uniform(0.46, 0.5))
    if view == "octagon":
        return np.asarray((across + down > 0.72) | (down > 0.48))
    return np.zeros((side, side), bool)


_PAINTERS: dict[str, Callable[[np.random.Generator, Look, tuple[str, str], int, int], Image]] = {
    "cataract": _cataract,
    "robotic": _robotic,
    "endoscopy": _endoscopy,
    "laparoscopy": _laparoscopy,
}
