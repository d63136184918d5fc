"""The IoUs of the EndoVis instrument tables, per frame and class (Gonzalez et al., ISINet, MICCAI 2020).

`count` goes over the frames once; every figure follows from its counts. All values are in 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.score import Average, Mask, mean

CLASSES = 7
"""Instrument types of EndoVis 2017 and 2018 in the tables of ISINet and SurgicalSAM."""


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Pixels of each class in each frame: (frames, classes) each, class 1 first."""

    shared: NDArray[np.int64]
    in_pred: NDArray[np.int64]
    in_gt: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """(frames, classes); NaN where a class is in neither."""
        union = self.in_pred + self.in_gt - self.shared
        values = np.full(union.shape, np.nan)
        np.divide(self.shared, union, out=values, where=union > 0)
        return values


def count(
    pred: Iterable[NDArray[np.integer]], gt: Iterable[NDArray[np.integer]], classes: int = CLASSES
) -> ClassCounts:
    """Count the pixels that the figures here are made of.

    Args:
        pred: (rows, columns) class numbers of each frame, 0 for background.
        gt: the same of the truth, in the same order.
        classes: the highest class number; higher ones in a frame count as background.

    Raises:
        ValueError: one has more frames than the other, or a frame another size.
    """
    counts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for one_pred, one_gt in zip_longest(pred, gt):
        if one_pred is None or one_gt is None:
            raise ValueError(
                f"prediction and truth end after different numbers of frames: the shorter has {len(counts)}"
            )
        if one_pred.shape != one_gt.shape:
            raise ValueError(f"a prediction of shape {one_pred.shape} does not fit the truth of shape {one_gt.shape}")
        of_pred, of_gt = (np.where(one <= classes, one, 0).ravel() for one in (one_pred, one_gt))
        pairs = np.bincount(of_gt.astype(np.intp) * (classes + 1) + of_pred, minlength=(classes + 1) ** 2)
        table = pairs.reshape(classes + 1, classes + 1)
        counts.append((table.diagonal()[1:], table.sum(0)[1:], table.sum(1)[1:]))
    shared, in_pred, in_gt = np.array(counts, np.int64).reshape(-1, 3, classes).swapaxes(0, 1)
    return ClassCounts(shared, in_pred, in_gt)


def challenge_iou(counts: ClassCounts) -> Average:
    """Mean over frames of the mean IoU of the classes in the frame's truth; frames with an empty truth are left out."""
    return _frame_mean(counts, counts.in_gt > 0)


def iou(counts: ClassCounts) -> Average:
    """Mean over frames of the mean IoU of the classes in truth or prediction; frames with neither are left out.

    It equals `challenge_iou` where the classes of a frame are given as prompts, as in SurgicalSAM's tables.
    """
    return _frame_mean(counts, (counts.in_gt > 0) | (counts.in_pred > 0))


def class_ious(counts: ClassCounts) -> list[Average]:
    """For each class the mean over the frames where truth or prediction has it."""
    return [_mean_of(column) for column in counts.iou.T]


def mean_class_iou(counts: ClassCounts, convention: Literal["isinet", "matis"] = "isinet") -> Average:
    """Mean over classes of `class_ious`, the mcIoU.

    A class in no frame is left out by ISINet and SurgicalSAM; MATIS (Ayobi et al., ISBI 2023) counts it as 0. One
    falsely predicted frame of a class that no truth has makes it a class of IoU 0 in both.
    """
    per_class = class_ious(counts)
    seen = [one.value for one in per_class if one.counted]
    absent = len(per_class) - len(seen)
    if convention == "matis":
        return Average(mean([*seen, *[0.0] * absent]), len(per_class), 0)
    return Average(mean(seen), len(seen), absent)


def total_iou(counts: ClassCounts) -> Average:
    """All shared pixels over all pixels of either, the fourth figure that ISINet's evaluation prints (mIoU).

    As there, frames with an empty prediction never reach the totals: missing everything does not lower it.
    """
    whole = counts.in_pred.sum(1) > 0
    shared = counts.shared[whole].sum()
    union = (counts.in_pred + counts.in_gt)[whole].sum() - shared
    return Average(float(shared / union) if union else np.nan, int(whole.sum()), int((~whole).sum()))


def merge_classes(masks: Sequence[Mask], classes: Sequence[int], qualities: Sequence[float]) -> NDArray[np.uint8]:
    """One map of class numbers from a mask a class, as SurgicalSAM merges them (Yue et al., AAAI 2024).

    Where masks overlap the one with the highest predicted quality is on top; of equals, the later one.

    Args:
        masks: (rows, columns) bool each, at least one.
        classes: the class number of each, 1..255.
        qualities: the predicted quality of each.

    Raises:
        ValueError: no mask, or not one class and one quality a mask.
    """
    if not masks or not len(masks) == len(classes) == len(qualities):
        raise ValueError(f"{len(masks)} masks, {len(classes)} classes and {len(qualities)} qualities do not match")
    labels = np.zeros(masks[0].shape, np.uint8)
    for index in np.argsort(qualities, kind="stable"):
        labels[masks[index]] = classes[index]
    return labels


def _frame_mean(counts: ClassCounts, counted: Mask) -> Average:
    """Mean over frames of the mean over the counted classes; frames without one are left out."""
    values = [mean(row[which]) for row, which in zip(counts.iou, counted, strict=True) if which.any()]
    return Average(mean(values), len(values), len(counted) - len(values))


def _mean_of(values: NDArray[np.float64]) -> Average:
    known = values[~np.isnan(values)]
    return Average(mean(known), len(known), len(values) - len(known))
