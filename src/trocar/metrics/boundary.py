"""How well two contours agree: the boundary F of DAVIS (Perazzi et al., CVPR 2016, section 5)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.metrics.score import Mask, Score, check_pair, status_of


def boundary_f(pred: Mask, gt: Mask, tolerance: float = 0.008, void: Mask | None = None) -> Score:
    """F measure of the boundary pixels that lie within a tolerance of the other mask's boundary, in 0..1.

    The border of the image is no boundary. Two masks without a boundary score 1, one without scores 0. The tolerance
    follows the size of the image, so score at the size of the truth.

    Args:
        pred: (rows, columns) bool.
        gt: (rows, columns) bool.
        tolerance: in pixels if it is 1 or more, else as a part of the image's diagonal, rounded up to whole pixels.
        void: pixels that belong to neither mask.

    Raises:
        ValueError: the masks differ in shape or are not bool.
    """
    check_pair(pred, gt, void)
    if void is not None:
        pred, gt = pred & ~void, gt & ~void
    radius = _radius(gt.shape, tolerance)
    part = _surroundings(pred | gt)
    if part is None:
        return Score(1.0, "both_empty")
    pred, gt = pred[part], gt[part]
    status = status_of(pred.any(), gt.any())
    of_pred, of_gt = _boundary(pred), _boundary(gt)
    pixels_pred, pixels_gt = int(np.count_nonzero(of_pred)), int(np.count_nonzero(of_gt))
    if not pixels_pred or not pixels_gt:
        return Score(float(pixels_pred == pixels_gt), status)
    precision = _count_near(of_pred, of_gt, radius) / pixels_pred
    recall = _count_near(of_gt, of_pred, radius) / pixels_gt
    return Score(2 * precision * recall / (precision + recall) if precision + recall else 0.0, status)


def _surroundings(mask: Mask) -> tuple[slice, slice] | None:
    """The box around the mask with one pixel more each way: all that any boundary lies in. None if it is empty."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    return slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2)


def _boundary(mask: Mask) -> Mask:
    """Pixels that differ from their right, lower or lower right neighbour."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _radius(shape: tuple[int, ...], tolerance: float) -> int:
    if tolerance >= 1:
        return int(tolerance)
    # Whole products such as 0.008 * 125 must not be pushed up by the last bit of a float.
    return math.ceil(tolerance * math.hypot(*shape) - 1e-9)


def _count_near(edge: Mask, other: Mask, radius: int) -> int:
    """How many pixels of `edge` lie within `radius` pixels of `other`."""
    near = cv2.dilate(other.view(np.uint8), _disk(radius))
    return int(np.count_nonzero(edge & near.view(np.bool_)))


def _disk(radius: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)
