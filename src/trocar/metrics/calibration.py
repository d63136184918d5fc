"""Whether a stated confidence is what it turns out to be (Guo et al., ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
