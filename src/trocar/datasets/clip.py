"""Clip: what every dataset yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Clip:
    """Some frames and the truth about the objects in them.

    Args:
        name: says where it comes from; unique within its dataset.
        images: (T, H, W, 3) uint8 RGB.
        labels: (T, H, W) uint8: the id of the object whose visible part covers the pixel, 0 where there is none.
        classes: object id -> class name, for every id that occurs in labels.
        ignore: (T, H, W) bool: pixels without a truth, to be left out of losses and scores.
        ordered: False for an image set, whose frames do not follow one another in time or space.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: Mapping[int, str]
    ignore: NDArray[np.bool_] | None = None
    ordered: bool = True

    def __post_init__(self) -> None:
        grid = self.labels.shape
        if len(grid) != 3 or self.images.shape != (*grid, 3):
            raise ValueError(f"clip {self.name}: images {self.images.shape} and labels {grid} are not on one grid")
        if self.ignore is not None and self.ignore.shape != grid:
            raise ValueError(f"clip {self.name}: ignore {self.ignore.shape} and labels {grid} are not on one grid")
