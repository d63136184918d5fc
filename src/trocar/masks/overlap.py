"""Objects that claim the same pixel: settled between logits, or when masks become one label map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.masks.frame_masks import FrameMasks

ABSENT_LOGIT = -10.0


def keep_largest(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Let each pixel belong to one object at most: the largest logit stays, the others become -10 or less.

    As SAM 2 does when asked for masks that do not overlap; of equal logits the first object's stays.

    Args:
        logits: (objects, rows, columns).

    Returns:
        The same shape and type.
    """
    if len(logits) < 2:
        return logits.copy()
    order = np.arange(len(logits)).reshape(-1, 1, 1)
    return np.where(logits.argmax(axis=0) == order, logits, np.minimum(logits, ABSENT_LOGIT)).astype(logits.dtype)


def to_label_map(
    frame: FrameMasks, size: tuple[int, int] | None = None, by_score: bool = False
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """One picture of object ids, 0 for background.

    Args:
        frame: the masks; ids from 1 to 65535.
        size: (rows, columns); needed only where a frame may have no objects.
        by_score: where masks overlap, the higher score wins, and of equal scores the larger id; else the larger id.

    Returns:
        (rows, columns) uint8, or uint16 if an id is above 255.

    Raises:
        ValueError: an id that does not fit, masks of different sizes, or no masks and no size.
    """
    ids = sorted(frame.masks)
    if ids and not (ids[0] >= 1 and ids[-1] <= 65535):
        raise ValueError(f"frame {frame.frame}: a label map holds ids from 1 to 65535, not {ids[0]} to {ids[-1]}")
    sizes = {frame.masks[number].shape for number in ids} | ({size} if size else set())
    if len(sizes) != 1:
        raise ValueError(f"frame {frame.frame}: a label map needs one size, not {sorted(sizes) or 'none'}")
    labels = np.zeros(sizes.pop(), np.uint16 if ids and ids[-1] > 255 else np.uint8)
    for number in sorted(ids, key=lambda number: frame.scores.get(number, 0.0)) if by_score else ids:
        labels[frame.masks[number]] = number
    return labels


def from_label_map(labels: NDArray[np.integer], frame: int = 0, ids: list[int] | None = None) -> FrameMasks:
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
