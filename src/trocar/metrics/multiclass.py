"""Dice and surface Dice of a case with several classes, by the rules of the challenges that score such cases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.overlap import dice
from trocar.metrics.score import Score, mean
from trocar.metrics.surface import nsd


@dataclass(frozen=True)
class CaseRules:
    """Which classes of a case count, and how.

    Args:
        labels: "up_to_largest": 1 to the largest number in the truth, gaps included; "present": those in the truth;
            or numbers of your own. A class that only the prediction has never counts in the first two.
        tolerance_mm: of the surface Dice, in the units of the spacing.
        both_empty: what a class scores that is in neither.
        gate: a case whose mean Dice is not above this counts as NSD 0; None for no gate.
    """

    labels: Literal["up_to_largest", "present"] | tuple[int, ...]
    tolerance_mm: float = 2.0
    both_empty: float = math.nan
    gate: float | None = 0.2


CVPR24 = CaseRules("up_to_largest")
"""Segment Anything in Medical Images on Laptop, CVPR 2024. A gap in the truth's numbers makes the mean NaN."""

CVPR25 = CaseRules("present")
"""Foundation Models for Interactive 3-D Segmentation, CVPR 2025."""

FLARE22 = CaseRules(tuple(range(1, 14)), both_empty=1.0, gate=None)
"""Abdominal organs, MICCAI 2022."""


@dataclass(frozen=True)
class CaseScore:
    """Scores of each class by its number, and the case's figures as the challenge takes them, in 0..1."""

    dice: Mapping[int, Score]
    nsd: Mapping[int, Score]
    gate: float | None

    @property
    def mean_dice(self) -> float:
        """Plain mean over classes, NaN if one is. To leave such classes out use `score.average` on `dice`."""
        return mean(score.value for score in self.dice.values())

    @property
    def mean_nsd(self) -> float:
        """Plain mean over classes, NaN if one is, before the gate."""
        return mean(score.value for score in self.nsd.values())

    @property
    def nsd_as_scored(self) -> float:
        """Mean NSD behind the gate; a Dice of NaN does not pass it."""
        return self.mean_nsd if self.gate is None or self.mean_dice > self.gate else 0.0


def score_case(
    pred: NDArray[np.integer], gt: NDArray[np.integer], spacing_mm: tuple[float, ...], rules: CaseRules
) -> CaseScore:
    """Score each class of a case.

    Args:
        pred: class numbers, (rows, columns) or (slices, rows, columns), 0 for background.
        gt: class numbers of the same shape. The CVPR 2024 scorer gives pictures as (rows, columns, 1) with spacing 1,
            where every pixel of a mask is surface: that is no NSD of contours.
        spacing_mm: in the order of the axes.
        rules: CVPR24, CVPR25, FLARE22 or rules of your own.
    """
    if rules.labels == "up_to_largest":
        numbers = tuple(range(1, int(gt.max()) + 1))
    elif rules.labels == "present":
        numbers = tuple(int(number) for number in np.unique(gt) if number)
    else:
        numbers = rules.labels
    dices: dict[int, Score] = {}
    nsds: dict[int, Score] = {}
    for number in numbers:
        of_pred, of_gt = pred == number, gt == number
        dices[number] = dice(of_pred, of_gt, both_empty=rules.both_empty)
        near = nsd(of_pred, of_gt, spacing_mm, rules.tolerance_mm)
        nsds[number] = Score(rules.both_empty, near.status) if near.status == "both_empty" else near
    return CaseScore(dices, nsds, rules.gate)
