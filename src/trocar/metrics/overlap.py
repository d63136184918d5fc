"""How much two masks share: IoU (J, the Jaccard index) and Dice.

What an empty mask scores differs between published evaluators, so a score carries a status beside its value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Status = Literal["ok", "both_empty", "pred_empty", "gt_empty"]


@dataclass(frozen=True)
class Score:
    """A value, and whether a mask was empty: a mean over cases can then leave such cases out and count them."""

    value: float
    status: Status


def iou(truth: Mask, prediction: Mask, ignore: Mask | None = None, both_empty: float = 1.0) -> Score:
    """Intersection over union, in 0..1 (Everingham et al., PASCAL VOC; the J of DAVIS, Perazzi et al., CVPR 2016).

    Args:
        truth: bool mask of any shape.
        prediction: bool mask of the same shape.
        ignore: pixels that count for neither mask.
        both_empty: the value when neither mask has a pixel; DAVIS and SA-V give 1.

    Raises:
        ValueError: the masks differ in shape or are not bool.
    """
    common, in_truth, in_prediction = _counts(truth, prediction, ignore)
    status = _status(in_truth, in_prediction)
    if status == "both_empty":
        return Score(both_empty, status)
    return Score(common / (in_truth + in_prediction - common), status)


def dice(truth: Mask, prediction: Mask, ignore: Mask | None = None, both_empty: float = math.nan) -> Score:
    """Dice similarity coefficient, in 0..1: twice the intersection over the sum of the areas (Dice 1945).

    Args:
        truth: bool mask of any shape.
        prediction: bool mask of the same shape.
        ignore: pixels that count for neither mask.
        both_empty: the value when neither mask has a pixel: NaN in the MedSAM challenges, 1 in FLARE22.

    Raises:
        ValueError: the masks differ in shape or are not bool.
    """
    common, in_truth, in_prediction = _counts(truth, prediction, ignore)
    status = _status(in_truth, in_prediction)
    if status == "both_empty":
        return Score(both_empty, status)
    return Score(2 * common / (in_truth + in_prediction), status)


def check_pair(truth: Mask, prediction: Mask, ignore: Mask | None) -> None:
    """Raise ValueError unless the masks are bool arrays of one shape."""
    for name, mask in (("truth", truth), ("prediction", prediction), ("ignore", ignore)):
        if mask is None:
            continue
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} must be a bool mask, not {mask.dtype}: compare it with the object's id first")
        if mask.shape != truth.shape:
            raise ValueError(f"{name} of shape {mask.shape} does not fit the truth of shape {truth.shape}: resize it")


def _counts(truth: Mask, prediction: Mask, ignore: Mask | None) -> tuple[int, int, int]:
    check_pair(truth, prediction, ignore)
    if ignore is not None:
        truth, prediction = truth & ~ignore, prediction & ~ignore
    return int((truth & prediction).sum()), int(truth.sum()), int(prediction.sum())


def _status(in_truth: int, in_prediction: int) -> Status:
    if in_truth and in_prediction:
        return "ok"
    if in_truth:
        return "pred_empty"
    return "gt_empty" if in_prediction else "both_empty"
