"""Several masks as one picture of object ids, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trocar.masks.frame_masks import FrameMasks


def to_label_map(frame: FrameMasks, size: tuple[int, int], highest: int = 65535) -> NDArray[np.uint16]:
    """Draw all objects of a frame into one (rows, columns) map of ids, 0 where there is none.

    Where masks overlap the higher id is on top; formats that keep overlaps store masks one by one.

    Raises:
        ValueError: an id outside 1..highest, or a mask that is not of `size`.
    """
    labels = np.zeros(size, np.uint16)
    for object_id in sorted(frame.masks):
        mask = frame.masks[object_id]
        if not 1 <= object_id <= highest:
            raise ValueError(
                f"a label map here holds object ids 1 to {highest}, not {object_id}: renumber the objects or write rle"
            )
        if mask.shape != size:
            raise ValueError(
                f"the mask of object {object_id} on frame {frame.frame} is {mask.shape}, its source is {size}"
            )
        labels[mask] = object_id
    return labels


def from_label_map(labels: NDArray[np.integer], frame: int = 0, ids: Sequence[int] | None = None) -> FrameMasks:
    """The masks of a picture of object ids.

    Args:
        labels: (rows, columns), 0 for background.
        frame: index of the frame in its source.
        ids: the objects to take, absent ones as empty masks; by default all that occur.
    """
    if labels.ndim != 2:
        raise ValueError(f"a label map has rows and columns only, not the shape {labels.shape}")
    wanted = [int(number) for number in np.unique(labels) if number] if ids is None else ids
    return FrameMasks(frame, {number: labels == number for number in wanted})
