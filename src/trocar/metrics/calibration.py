"""Whether a stated confidence is what it turns out to be (Guo et al., ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

WIDEST = np.log(1000.0)  # temperatures are looked for from 1/1000 to 1000


@dataclass(frozen=True)
class Bin:
    """The cases whose confidence lies above `low` and not above `high` (the first bin holds 0 too)."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram: its bins with cases in them, by confidence."""

    bins: tuple[Bin, ...]

    @property
    def error(self) -> float:
        """Expected calibration error, ECE: how far confidence and accuracy lie apart, weighed by cases; in 0..1."""
        total = sum(one.count for one in self.bins)
        return sum(one.count / total * abs(one.accuracy - one.confidence) for one in self.bins)

    @property
    def worst(self) -> float:
        """Maximum calibration error, MCE: the largest gap of a bin."""
        return max(abs(one.accuracy - one.confidence) for one in self.bins)


def calibration(confidences: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 15) -> Calibration:
    """Compare confidences with how often they were right, in bins of equal width.

    Args:
        confidences: (N,) the probability given to the answer, in 0..1.
        right: (N,) whether the answer was right.
        bins: how many.

    Raises:
        ValueError: no case, lengths that differ, a confidence outside 0..1, or no bin.
    """
    if confidences.shape != right.shape or right.ndim != 1 or not len(right) or bins < 1:
        raise ValueError(f"{confidences.shape} confidences, {right.shape} answers and {bins} bins do not fit")
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError("a confidence is a probability in 0..1: give probabilities, not logits")
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        found.append(
            Bin(
                float(edges[place]),
                float(edges[place + 1]),
                int(inside.sum()),
                float(confidences[inside].mean()),
                float(right[inside].mean()),
            )
        )
    return Calibration(tuple(found))


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """The temperature that logits are to be divided by: the one under which held-out truths are likeliest.

    Args:
        logits: (N, K), of data that neither trained the network nor is reported; logarithms of probabilities will do.
        targets: (N,) the right class of each.

    Raises:
        ValueError: no case, or shapes that do not fit.
    """
    _check_classes(logits, targets)
    rows = np.arange(len(targets))

    def surprise(log_temperature: float) -> float:
        chances = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(chances[rows, targets].mean())

    found = minimize_scalar(surprise, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def class_calibration(
    logits: NDArray[np.floating], targets: NDArray[np.integer], temperature: float = 1.0, bins: int = 15
) -> Calibration:
    """Compare the probability of the likeliest class with how often it is the right one.

    Args:
        logits: (N, K).
        targets: (N,) the right class of each.
        temperature: that logits are divided by, see `fit_temperature`.
        bins: how many.

    Raises:
        ValueError: no case, shapes that do not fit, or no bin.
    """
    _check_classes(logits, targets)
    chances = softmax(logits / temperature, axis=1)
    confidences = np.minimum(chances.max(axis=1), 1.0)  # sums of exponentials may round above 1
    return calibration(confidences, chances.argmax(axis=1) == targets, bins)


def _check_classes(logits: NDArray[np.floating], targets: NDArray[np.integer]) -> None:
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or not len(targets):
        raise ValueError(f"logits {logits.shape} and targets {targets.shape} do not fit: give (N, K) and (N,)")
    if not ((targets >= 0) & (targets < logits.shape[1])).all():
        raise ValueError(f"targets are numbers of {logits.shape[1]} classes, from 0: leave the others out")
