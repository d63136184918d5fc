"""Published lists of augmentations as data: what changes, how often, how far, and whether alike in a whole clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Image = NDArray[np.uint8]
Moves = Literal["flip_x", "flip_y", "rotate", "zoom", "shear"]
Kind = Literal[
    Moves,
    "brightness",
    "contrast",
    "saturation",
    "grey",
    "noise",
    "blur",
    "multiply",
    "invert",
    "low_resolution",
    "gamma",
]


@dataclass(frozen=True)
class Change:
    """One line of a list.

    Args:
        kind: what is done. The value drawn is: "rotate", "shear" (along both axes, each drawn for itself): degrees;
            "zoom": magnification; "brightness", "contrast", "saturation" (as torchvision's ColorJitter), "multiply":
            factor; "noise": variance in parts of the picture's own; "blur": deviation of a Gaussian in pixels of a
            picture of 256; "low_resolution": factor by which it shrinks and grows again; "gamma": exponent. "flip_x",
            "flip_y", "grey" and "invert" have none.
        chance: how often.
        low: smallest value.
        high: largest value.
        per_frame: draw chance and value anew for each frame, instead of once for all frames of a clip.
    """

    kind: Kind
    chance: float = 1.0
    low: float = 0.0
    high: float = 0.0
    per_frame: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.chance <= 1 or self.low > self.high:
            raise ValueError(f"the change {self.kind} needs a chance from 0 to 1 and low <= high, not {self}")


#: SAM 2's training configuration (sam2.1_hiera_b+_MOSE_finetune.yaml): all frames alike, then a little for each frame.
SAM2 = (
    Change("flip_x", 0.5),
    Change("rotate", 1.0, -25, 25),
    Change("shear", 1.0, -20, 20),
    Change("brightness", 1.0, 0.9, 1.1),
    Change("contrast", 1.0, 0.97, 1.03),
    Change("saturation", 1.0, 0.97, 1.03),
    Change("grey", 0.05),
    Change("brightness", 1.0, 0.9, 1.1, per_frame=True),
    Change("contrast", 1.0, 0.95, 1.05, per_frame=True),
    Change("saturation", 1.0, 0.95, 1.05, per_frame=True),
)

#: MedSAM-2, appendix C.2, in its order. Where it states a chance a sample and one a modality, a picture here is one
#: modality and has their product. It states no chance for the flip of intensities but that of the gamma after it.
MEDSAM_2 = (
    Change("rotate", 0.15, -25, 25),
    Change("zoom", 0.15, 0.7, 1.4),
    Change("noise", 0.15, 0.0, 0.1),
    Change("blur", 0.15 * 0.5, 0.5, 1.5),
    Change("multiply", 0.15, 0.65, 1.2),
    Change("invert", 0.15),
    Change("low_resolution", 0.25 * 0.5, 1.0, 2.0),
    Change("gamma", 0.15, 0.7, 1.5),
    Change("flip_x", 0.5),
    Change("flip_y", 0.5),
)

LISTS: dict[str, tuple[Change, ...]] = {"none": (), "sam2": SAM2, "medsam-2": MEDSAM_2}


@dataclass(frozen=True)
class Drawn:
    """A change as it was drawn for a frame; `second` is the other axis of a shear."""

    kind: str
    value: float = 0.0
    second: float = 0.0


def draw_changes(changes: Sequence[Change], rng: np.random.Generator, frames: int) -> list[tuple[Drawn, ...]]:
    """What happens to each frame, in the order of the list."""
    columns: list[list[Drawn | None]] = []
    for change in changes:
        once = None if change.per_frame else [_draw(change, rng)]
        columns.append(once * frames if once else [_draw(change, rng) for _ in range(frames)])
    return [tuple(one for column in columns if (one := column[frame]) is not None) for frame in range(frames)]


def _draw(change: Change, rng: np.random.Generator) -> Drawn | None:
    happens, value, second = rng.random() < change.chance, *rng.uniform(change.low, change.high, 2)
    return Drawn(change.kind, float(value), float(second)) if happens else None


def placed(drawn: Sequence[Drawn], size: tuple[int, int], side: int) -> Matrix:
    """The 3 x 3 matrix from pixels (x, y) of a (rows, columns) source to a `side` x `side` picture.

    Turns and shears happen in the source's own proportions, about its middle, before it is stretched to a square.
    """
    rows, columns = size
    out = np.array([[1, 0, -columns / 2], [0, 1, -rows / 2], [0, 0, 1]], float)
    for one in drawn:
        out = _move(one) @ out
    fit = np.array([[side / columns, 0, side / 2], [0, side / rows, side / 2], [0, 0, 1]])
    return np.asarray(fit @ out, np.float64)


def _move(one: Drawn) -> Matrix:
    if one.kind == "flip_x":
        return np.diag([-1.0, 1.0, 1.0])
    if one.kind == "flip_y":
        return np.diag([1.0, -1.0, 1.0])
    if one.kind == "zoom":
        return np.diag([one.value, one.value, 1.0])
    if one.kind == "shear":
        x, y = math.tan(math.radians(one.value)), math.tan(math.radians(one.second))
        return np.array([[1, x, 0], [y, 1 + x * y, 0], [0, 0, 1.0]])  # along x, then along y: its area stays
    if one.kind == "rotate":
        angle = math.radians(one.value)
        c, s = math.cos(angle), math.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return np.eye(3)


def recoloured(image: Image, drawn: Sequence[Drawn], rng: np.random.Generator) -> Image:
    """(rows, columns, 3) uint8 with the changes of colour and sharpness, in order; `rng` gives the grain of noise."""
    out = image.astype(np.float32)
    for one in drawn:
        out = _recolour(out, one, rng)
    return np.asarray(np.rint(out.clip(0, 255)), np.uint8)


def _recolour(image: NDArray[np.float32], one: Drawn, rng: np.random.Generator) -> NDArray[np.float32]:
    low, high = float(image.min()), float(image.max())
    out: NDArray[np.floating] = image
    match one.kind:
        case "brightness":
            out = (image * one.value).clip(0, 255)
        case "contrast":
            out = (one.value * image + (1 - one.value) * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean()).clip(0, 255)
        case "saturation" | "grey":
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
            share = one.value if one.kind == "saturation" else 0.0
            out = (share * image + (1 - share) * grey).clip(0, 255)
        case "noise":
            out = image + rng.standard_normal(image.shape, np.float32) * math.sqrt(one.value) * float(image.std())
        case "blur":
            out = np.asarray(cv2.GaussianBlur(image, (0, 0), max(one.value * image.shape[0] / 256, 0.05)))
        case "multiply":
            out = (image * one.value).clip(low, high)
        case "invert":
            out = 255 - image
        case "low_resolution":
            rows, columns = image.shape[:2]
            small = (max(1, round(columns / one.value)), max(1, round(rows / one.value)))
            coarse = cv2.resize(image, small, interpolation=cv2.INTER_NEAREST)
            out = np.asarray(cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)).clip(0, 255)
        case "gamma":
            out = ((image - low) / max(high - low, 1e-6)) ** one.value * (high - low) + low
    return np.asarray(out, np.float32)
