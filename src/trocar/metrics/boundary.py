"""How well two contours agree: the boundary F of DAVIS (Perazzi et al., CVPR 2016, section 5)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.metrics.overlap import Mask, check_pair


def boundary_f(truth: Mask, prediction: Mask, ignore: Mask | None = None, tolerance: float = 0.008) -> float:
    """F measure of the boundary pixels that lie within a tolerance of the other mask's boundary, in 0..1.

    The border of the image is no boundary. Two masks without a boundary score 1, one without scores 0.

    Args:
        truth: (rows, columns) bool.
        prediction: (rows, columns) bool.
        ignore: pixels that belong to neither mask.
        tolerance: in pixels if it is 1 or more, else as a part of the image's diagonal, rounded up to whole pixels.

    Raises:
        ValueError: the masks differ in shape or are not bool.
    """
    check_pair(truth, prediction, ignore)
    if ignore is not None:
        truth, prediction = truth & ~ignore, prediction & ~ignore
    of_truth, of_prediction = _boundary(truth), _boundary(prediction)
    if not of_truth.any() or not of_prediction.any():
        return float(of_truth.any() == of_prediction.any())
    # Only pixels of either boundary are compared, so the rest of the image need not be dilated.
    part = _extent(of_truth | of_prediction)
    of_truth, of_prediction = of_truth[part], of_prediction[part]
    radius = _radius(truth.shape, tolerance)
    precision = _share_within(of_prediction, of_truth, radius)
    recall = _share_within(of_truth, of_prediction, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: Mask) -> Mask:
    """Pixels that differ from their right, lower or lower right neighbour."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _extent(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _radius(shape: tuple[int, ...], tolerance: float) -> int:
    if tolerance >= 1:
        return int(tolerance)
    # Whole products such as 0.008 * 125 must not be pushed up by the last bit of a float.
    return math.ceil(tolerance * math.hypot(*shape) - 1e-9)


def _share_within(edge: Mask, other: Mask, radius: int) -> float:
    """The share of `edge` that lies within `radius` pixels of `other`."""
    near = cv2.dilate(other.astype(np.uint8), _disk(radius))
    return int((edge & (near > 0)).sum()) / int(edge.sum())


def _disk(radius: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)
