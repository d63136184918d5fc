"""How much two masks share: IoU (J, the Jaccard index) and Dice."""

from __future__ import annotations

import math

import numpy as np

from trocar.metrics.score import Mask, Score, check_pair, status_of


def iou(pred: Mask, gt: Mask, void: Mask | None = None, both_empty: float = 1.0) -> Score:
    """Intersection over union, in 0..1 (Everingham et al., PASCAL VOC; the J of DAVIS, Perazzi et al., CVPR 2016).

    Args:
        pred: bool mask of any shape.
        gt: bool mask of the same shape.
        void: pixels that count for neither mask.
        both_empty: the value when neither mask has a pixel; DAVIS and SA-V give 1.

    Raises:
        ValueError: the masks differ in shape or are not bool.
    """
    shared, in_pred, in_gt = _counts(pred, gt, void)
    status = status_of(in_pred, in_gt)
    if status == "both_empty":
        return Score(both_empty, status)
    return Score(shared / (in_gt + in_pred - shared), status)


def dice(pred: Mask, gt: Mask, void: Mask | None = None, both_empty: float = math.nan) -> Score:
    """Dice similarity coefficient, in 0..1: twice the intersection over the sum of the areas (Dice 1945).

    Args:
        pred: bool mask of any shape.
        gt: bool mask of the same shape.
        void: pixels that count for neither mask.
        both_empty: the value when neither mask has a pixel: NaN in the CVPR challenges, 1 in FLARE22.

    Raises:
        ValueError: the masks differ in shape or are not bool.
    """
    shared, in_pred, in_gt = _counts(pred, gt, void)
    status = status_of(in_pred, in_gt)
    if status == "both_empty":
        return Score(both_empty, status)
    return Score(2 * shared / (in_gt + in_pred), status)


def _counts(pred: Mask, gt: Mask, void: Mask | None) -> tuple[int, int, int]:
    """Pixels of both, of the prediction and of the truth."""
    check_pair(pred, gt, void)
    if void is not None:
        pred, gt = pred & ~void, gt & ~void
    return int(np.count_nonzero(pred & gt)), int(np.count_nonzero(pred)), int(np.count_nonzero(gt))
