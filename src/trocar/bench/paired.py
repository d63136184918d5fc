"""Differences between two ways of training, paired by seed and scene, with an interval that counts both as drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its percentile bootstrap interval (Efron 1979)."""

    mean: float
    low: float
    high: float


def interval(
    statistic: Callable[[NDArray[np.intp], NDArray[np.intp]], float],
    shape: tuple[int, int],
    draws: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """A statistic of runs and scenes; both are drawn anew with replacement, each for itself (Owen 2007).

    With a few runs their own spread is understated: of three runs, 1 draw in 9 has one of them only.

    Args:
        statistic: of the drawn runs and the drawn scenes, as indices.
        shape: number of runs and of scenes.
        draws: how often; the same draws are taken for every statistic of one shape.
        level: share of the draws that lie inside.

    Raises:
        ValueError: there is no run, no scene or no draw, or the level is not a share.
    """
    if min(shape) < 1 or draws < 1 or not 0 < level < 1:
        raise ValueError(f"an interval needs runs, scenes, draws and a level between 0 and 1, not {shape}, {draws}")
    rng = np.random.default_rng(0)
    runs, scenes = shape
    found = [statistic(rng.integers(runs, size=runs), rng.integers(scenes, size=scenes)) for _ in range(draws)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(statistic(np.arange(runs), np.arange(scenes)), float(low), float(high))


def paired_difference(scores: Array, reference: Array, draws: int = 10_000, level: float = 0.95) -> Interval:
    """The mean of `scores - reference`, both (runs, scenes), with its interval.

    Raises:
        ValueError: the two differ in shape.
    """
    if scores.shape != reference.shape or scores.ndim != 2:
        raise ValueError(f"paired scores are two tables of (runs, scenes), not {scores.shape} and {reference.shape}")
    gain = scores - reference
    shape = (gain.shape[0], gain.shape[1])
    return interval(lambda runs, scenes: float(gain[np.ix_(runs, scenes)].mean()), shape, draws, level)
