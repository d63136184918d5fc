"""Prompts as values. All coordinates are (x, y) in pixels of the source image; (0, 0) is its upper left corner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Point:
    """A click: on the object (positive) or on what is not the object."""

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Box:
    """A rectangle around the object, from its upper left to its lower right corner."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (self.x1 > self.x0 and self.y1 > self.y0):
            raise ValueError(
                f"box {self.x0:g},{self.y0:g},{self.x1:g},{self.y1:g} is empty: "
                "give x0,y0,x1,y1 with x1 > x0 and y1 > y0"
            )


@dataclass(frozen=True)
class Scribble:
    """A stroke over the object (or over what is not the object): its points in drawing order."""

    points: tuple[tuple[float, float], ...]
    positive: bool = True

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("a scribble needs at least one point")


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """The object's mask itself: (rows, columns) bool at source size."""

    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise ValueError(f"a mask prompt is a 2-D bool array, not {self.mask.dtype} of shape {self.mask.shape}")


@dataclass(frozen=True)
class ClassPrompt:
    """What the object is, by the name of its class: who looks for classes says where it is."""

    name: str


Prompt = Point | Box | Scribble | MaskPrompt
