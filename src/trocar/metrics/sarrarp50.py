"""The scores of the SAR-RARP50 challenge (Psychogyios et al. 2023): instruments segmented, actions recognised.

A class that a frame has not scores 1 if it is not predicted either, which lifts the mean strongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.overlap import iou
from trocar.metrics.score import mean
from trocar.metrics.surface import nsd

CLASSES = 9
TOLERANCE_PX = 10.0


@dataclass(frozen=True)
class FrameScore:
    """IoU and surface Dice of each class in one frame, class 1 first, in 0..1."""

    iou: tuple[float, ...]
    nsd: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """Two figures of a challenge's task and their geometric mean, by which it ranks."""

    first: float
    second: float

    @property
    def score(self) -> float:
        return math.sqrt(self.first * self.second)


def score_frame(pred: NDArray[np.integer] | None, gt: NDArray[np.integer]) -> FrameScore:
    """Score each class of one frame.

    Args:
        pred: (rows, columns) class numbers, 0 for background; None if there is no prediction: every class scores 0.
        gt: (rows, columns) class numbers.
    """
    if pred is None:
        return FrameScore((0.0,) * CLASSES, (0.0,) * CLASSES)
    pairs = [(pred == number, gt == number) for number in range(1, CLASSES + 1)]
    near = [nsd(*pair, (1.0, 1.0), TOLERANCE_PX, "monai") for pair in pairs]
    return FrameScore(
        tuple(iou(*pair).value for pair in pairs),
        tuple(1.0 if score.status == "both_empty" else score.value for score in near),
    )


def segmentation(videos: Iterable[Iterable[FrameScore]]) -> Result:
    """Mean IoU and mean NSD: over classes, then frames, then videos."""
    rows = [[(mean(frame.iou), mean(frame.nsd)) for frame in video] for video in videos]
    return Result(*(mean(mean(frame[which] for frame in video) for video in rows) for which in (0, 1)))


def action_recognition(videos: Iterable[tuple[NDArray[np.integer], NDArray[np.integer]]]) -> Result:
    """Frame accuracy and segmental F1@10, each averaged over videos of (predicted, true) action numbers a frame."""
    pairs = list(videos)
    return Result(
        mean(float(np.mean(pred == gt)) for pred, gt in pairs), mean(segmental_f1(pred, gt) for pred, gt in pairs)
    )


def segmental_f1(pred: NDArray[np.integer], gt: NDArray[np.integer], overlap: float = 0.1) -> float:
    """F1 of whole segments of actions (Lea et al., CVPR 2017), in 0..1; background is an action like the others.

    A predicted segment is right if the true segment of its action that it overlaps most has at least this IoU and is
    not taken.

    Args:
        pred: (T,) action numbers.
        gt: (T,) action numbers.
        overlap: least IoU in time.

    Raises:
        ValueError: the lengths differ, or are 0.
    """
    if pred.shape != gt.shape or not len(gt):
        raise ValueError(f"{len(pred)} predicted and {len(gt)} true actions do not match: give one of each a frame")
    starts, ends, actions = _segments(gt)
    taken: set[int] = set()
    guessed = 0
    for start, end, action in zip(*_segments(pred), strict=True):
        shared = np.minimum(end, ends) - np.maximum(start, starts)
        union = np.maximum(end, ends) - np.minimum(start, starts)
        ious = shared / union * (actions == action)
        best = int(ious.argmax())
        guessed += 1
        if ious[best] >= overlap:
            taken.add(best)
    return 2 * len(taken) / (guessed + len(actions))


def _segments(actions: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.integer]]:
    """First frame, frame after the last, and action of each run."""
    edges = np.flatnonzero(np.diff(actions)) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(actions)]])
    return starts, ends, actions[starts]
