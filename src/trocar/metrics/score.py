"""A score with the reason why it may not count, and means that say how many cases they stand for.

What an empty mask scores differs between published evaluators, so a score carries a status beside its value, and
who averages says what becomes of such cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Status = Literal["ok", "both_empty", "pred_empty", "gt_empty"]


@dataclass(frozen=True)
class Score:
    """A value, and whether a mask was empty."""

    value: float
    status: Status


@dataclass(frozen=True)
class Average:
    """A mean, NaN where nothing counts, with how many values count and how many were left out."""

    value: float
    counted: int
    left_out: int


def average(scores: Iterable[Score], *, both_empty: float | None, one_empty: float | None) -> Average:
    """The mean of scores under a stated rule for empty masks.

    Args:
        scores: of any number of cases.
        both_empty: what a case counts where neither mask has a pixel; None leaves it out.
        one_empty: what a case counts where one mask has no pixel; None leaves it out.

    Raises:
        ValueError: a score of two masks that are not empty is no finite number.
    """
    kept: list[float] = []
    left_out = 0
    for score in scores:
        value = score.value if score.status == "ok" else both_empty if score.status == "both_empty" else one_empty
        if value is None:
            left_out += 1
        elif math.isfinite(value):
            kept.append(value)
        else:
            raise ValueError(f"a mean over the value {value} says nothing: leave such cases out with None")
    return Average(mean(kept), len(kept), left_out)


def mean(values: Iterable[float]) -> float:
    """The plain mean; NaN of nothing."""
    listed = list(values)
    return float(np.mean(listed)) if listed else math.nan


def check_pair(pred: Mask, gt: Mask, void: Mask | None = None) -> None:
    """Raise ValueError unless the masks are bool arrays of one shape."""
    for name, mask in (("prediction", pred), ("truth", gt), ("void", void)):
        if mask is None:
            continue
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} must be a bool mask, not {mask.dtype}: compare it with the object's id first")
        if mask.shape != gt.shape:
            raise ValueError(f"{name} of shape {mask.shape} does not fit the truth of shape {gt.shape}: resize it")


def status_of(in_pred: object, in_gt: object) -> Status:
    """The status of a pair, from how many pixels prediction and truth have or from whether they have any."""
    if in_pred and in_gt:
        return "ok"
    if in_gt:
        return "pred_empty"
    return "gt_empty" if in_pred else "both_empty"
