"""Clip: frames and truth in memory, as training and small benchmarks take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case


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


def read_clip(case: Case) -> Clip:
    """The annotated frames of a case in memory; where objects overlap, the one with the higher id is on top.

    Raises:
        FileNotFoundError, ValueError: a file is missing or damaged, an id is above 255, or frames differ in size.
    """
    source = case.open()
    images: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.uint8]] = []
    ignored: list[NDArray[np.bool_]] = []
    for frame in case.annotated_frames:
        truth = case.truth(frame)
        assert truth is not None
        image = source[frame].image
        label = np.zeros(image.shape[:2], np.uint8)
        for number in sorted(truth.masks):
            if not 1 <= number <= 255:
                raise ValueError(f"{case.name} has the object {number}: a clip takes ids from 1 to 255")
            label[truth.masks[number]] = number
        if images and image.shape != images[0].shape:
            raise ValueError(f"{case.name} has frames of {images[0].shape[:2]} and {image.shape[:2]}: one is needed")
        images.append(image)
        labels.append(label)
        ignored.append(np.zeros(label.shape, np.bool_) if truth.ignore is None else truth.ignore)
    stacked, ignore = np.stack(labels), np.stack(ignored)
    classes = {int(number): case.objects[int(number)] for number in np.unique(stacked) if number}
    ordered = getattr(source, "ordered", True)
    return Clip(case.name, np.stack(images), stacked, classes, ignore if ignore.any() else None, ordered)
