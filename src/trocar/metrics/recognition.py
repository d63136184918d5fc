"""Scores of clip classification (SurgRec, table 2, and what its averages hide). All in 0..1 but for intervals' z."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.score import mean

Classes = NDArray[np.integer]


def predicted(scores: NDArray[np.floating]) -> Classes:
    """The class of the highest score of each row of (N, classes); of equals, the first."""
    chosen: Classes = scores.argmax(axis=1)
    return chosen


def merge_views(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """(classes,) probabilities of a clip from (views, classes) logits: the mean of each view's softmax (VideoMAE)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    merged: NDArray[np.float64] = (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)
    return merged


def top1(pred: Classes, gt: Classes) -> float:
    """The share of right predictions, Acc@1."""
    _check(pred, gt)
    return float(np.mean(pred == gt))


def majority(gt: Classes) -> float:
    """Acc@1 of always saying the most frequent class: what a model must beat."""
    _check(gt, gt)
    return float(np.unique(gt, return_counts=True)[1].max() / len(gt))


def balanced(pred: Classes, gt: Classes) -> float:
    """Balanced accuracy: the mean over the truth's classes of the share that is found."""
    _check(pred, gt)
    return mean(float(np.mean(pred[gt == number] == number)) for number in np.unique(gt))


def macro_f1(pred: Classes, gt: Classes) -> float:
    """The mean of the F1 of each class that truth or prediction has; a negative prediction is none."""
    _check(pred, gt)
    numbers = np.union1d(pred[pred >= 0], gt)
    hits = [int(((pred == number) & (gt == number)).sum()) for number in numbers]
    sums = [int((pred == number).sum() + (gt == number).sum()) for number in numbers]
    return mean(2 * hit / both for hit, both in zip(hits, sums, strict=True))


@dataclass(frozen=True)
class ClipScores:
    """What is said of a task's test clips.

    Args:
        clips: how many.
        top1: Acc@1; `low` and `high` are its 95 % interval (Wilson).
        balanced: mean over classes of the share that is found.
        macro_f1: mean over classes of their F1.
        majority: Acc@1 of always saying the most frequent class.
    """

    clips: int
    top1: float
    low: float
    high: float
    balanced: float
    macro_f1: float
    majority: float


def clip_scores(pred: Classes, gt: Classes) -> ClipScores:
    """All scores of a task's predictions; a negative one is wrong.

    Raises:
        ValueError: not one class number each a clip, or no clip.
    """
    _check(pred, gt)
    low, high = wilson_interval(int((pred == gt).sum()), len(gt))
    return ClipScores(len(gt), top1(pred, gt), low, high, balanced(pred, gt), macro_f1(pred, gt), majority(gt))


@dataclass(frozen=True)
class DomainScores:
    """Means of datasets' scores.

    Args:
        domains: the mean over each domain's datasets.
    """

    domains: Mapping[str, float]

    @property
    def overall(self) -> float:
        """The mean over domains, however many datasets each has."""
        return mean(self.domains.values())

    @property
    def worst(self) -> str:
        """The domain with the lowest score."""
        return min(self.domains, key=lambda name: self.domains[name])


def domain_macro(scores: Mapping[str, float], domains: Mapping[str, str]) -> DomainScores:
    """Mean scores of domains (SurgRec, table 4).

    Args:
        scores: dataset -> its score.
        domains: dataset -> the domain it belongs to.

    Raises:
        ValueError: a dataset without a domain, or no dataset.
    """
    unknown = sorted(set(scores) - set(domains))
    if unknown or not scores:
        raise ValueError(f"no domain is known for {', '.join(unknown)}" if unknown else "there is no score to average")
    names = dict.fromkeys(domains[dataset] for dataset in scores)
    return DomainScores(
        {name: mean(score for data, score in scores.items() if domains[data] == name) for name in names}
    )


def wilson_interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share that was measured (Wilson, JASA 1927): it stays in 0..1, and fits small numbers.

    Raises:
        ValueError: not 0 <= hits <= trials with a trial at least, or a confidence outside 0..1.
    """
    if not (0 <= hits <= trials and trials > 0 and 0 < confidence < 1):
        raise ValueError(f"{hits} of {trials} at confidence {confidence:g} is no measured share")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return (0.0 if hits == 0 else middle - reach), (1.0 if hits == trials else middle + reach)


def _check(pred: Classes, gt: Classes) -> None:
    if pred.shape != gt.shape or gt.ndim != 1 or not len(gt):
        raise ValueError(f"predictions {pred.shape} and truth {gt.shape} must be one class number each a clip")
