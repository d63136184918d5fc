"""IoU and Dice as the released code of MedSAM-2 computes them (Zhu et al. 2024), for comparison with its numbers.

It differs from the paper's text: the thresholds are applied to raw logits and their scores averaged, and small
constants let an empty pair score 1 and a missed object a little more than 0. For figures of your own use
`trocar.metrics.overlap.dice` on probabilities over one half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.score import Mask, mean

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
_IOU_EXTRA, _DICE_EXTRA = 1e-6, 1e-4


def released_scores(
    logits: NDArray[np.floating], gt: Mask, thresholds: Sequence[float] = THRESHOLDS
) -> tuple[float, float]:
    """IoU and Dice, each the mean over thresholds, in 0..1.

    Args:
        logits: (rows, columns) of one object on one frame.
        gt: (rows, columns) bool.
        thresholds: on the logits.

    Raises:
        ValueError: the shapes differ.
    """
    if logits.shape != gt.shape:
        raise ValueError(f"logits of shape {logits.shape} do not fit the truth of shape {gt.shape}: resize them")
    in_gt = int(gt.sum())
    ious, dices = [], []
    for threshold in thresholds:
        pred = logits > threshold
        shared, both = int((pred & gt).sum()), int(pred.sum()) + in_gt
        ious.append((shared + _IOU_EXTRA) / (both - shared + _IOU_EXTRA))
        dices.append((2 * shared + _DICE_EXTRA) / (both + _DICE_EXTRA))
    return mean(ious), mean(dices)
