"""Annotations as people draw them: boundaries that lie a little off, differently on each frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]

COARSENESS = 12  # pixels between places where a boundary is drawn independently wrong


def jittered(labels: Labels, rng: np.random.Generator, reach_px: float) -> Labels:
    """Labels of which each object's boundary is moved on each frame: dilated or eroded as a whole, and elastically.

    A boundary is moved outwards by o + e: o is one number for an object on a frame, e changes along the boundary; both
    are uniform within half of `reach_px`, so that no boundary is moved by more than `reach_px`. What lies outside the
    picture stays as it is. A small object may vanish, as it may when a person annotates.

    Args:
        labels: (T, rows, columns) object ids, 0 for background; of the later ids those that are moved outwards cover
            the earlier ones.
        rng: source of chance.
        reach_px: 0 leaves the labels as they are.
    """
    if reach_px <= 0:
        return labels
    out = np.zeros_like(labels)
    for frame, label in enumerate(labels):
        for number in np.unique(label):
            if number:
                out[frame][_moved(label == number, rng, reach_px)] = number
    return out


def _moved(mask: NDArray[np.bool_], rng: np.random.Generator, reach_px: float) -> NDArray[np.bool_]:
    rows, columns = mask.shape
    nodes = rng.uniform(-1, 1, (rows // COARSENESS + 2, columns // COARSENESS + 2)).astype(np.float32)
    elastic = cv2.resize(nodes, (columns, rows), interpolation=cv2.INTER_LINEAR)
    outwards = 0.5 * reach_px * (elastic + np.float32(rng.uniform(-1, 1)))
    return np.asarray(signed_distance(mask) + outwards > 0, np.bool_)


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(rows, columns) pixels to the boundary, which runs between pixels: above 0 inside, below 0 outside.

    A mask without a boundary is as far from one as its picture is large.
    """
    far = float(sum(mask.shape))
    inside = _distance(mask, far)
    outside = _distance(~mask, far)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), np.float32)


def _distance(mask: NDArray[np.bool_], far: float) -> NDArray[np.float32]:
    if mask.all():
        return np.full(mask.shape, far, np.float32)
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
