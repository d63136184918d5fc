"""Statistics of more voxels than should be held in memory: each function makes its own passes over slabs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Slabs = Callable[[], Iterable[NDArray[np.generic]]]
"""Begins a new pass: all voxels once, in pieces of any shape."""

CHOICES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.bool_]]] = {
    "positive": lambda values: values > 0,
    "nonzero": lambda values: values != 0,
    "all": lambda values: np.ones(values.shape, np.bool_),
}
"""Which voxels count, by name; those that are not finite never do."""

HALF = 16
BINS = 2**HALF


def percentiles(slabs: Slabs, percents: Sequence[float], voxels: str = "all") -> list[float]:
    """Exact percentiles of the chosen voxels as float32, as NumPy's linear method gives them; [] if none is chosen.

    Two passes count the upper, then the lower halves of the numbers' bits, so that memory stays flat.
    """
    upper = np.zeros(BINS, np.int64)
    for keys in _keys(slabs, voxels):
        upper += np.bincount(keys >> HALF, minlength=BINS)
    ends = upper.cumsum()
    total = int(ends[-1])
    if total == 0:
        return []
    ranks = [percent / 100 * (total - 1) for percent in percents]
    wanted = sorted({int(rank) for rank in ranks} | {min(int(rank) + 1, total - 1) for rank in ranks})
    bins = {order: int(np.searchsorted(ends, order, side="right")) for order in wanted}
    lower = {part: np.zeros(BINS, np.int64) for part in set(bins.values())}
    for keys in _keys(slabs, voxels):
        for part, counts in lower.items():
            counts += np.bincount(keys[keys >> HALF == part] & (BINS - 1), minlength=BINS)
    values = {}
    for order, part in bins.items():
        within = order - int(ends[part] - upper[part])
        values[order] = _value(part << HALF | int(np.searchsorted(lower[part].cumsum(), within, side="right")))
    found = []
    for rank in ranks:
        below, above = values[int(rank)], values[min(int(rank) + 1, total - 1)]
        found.append(below + (above - below) * (rank - int(rank)))
    return found


def extremes(slabs: Slabs, voxels: str = "all") -> tuple[float, float] | None:
    """The least and greatest chosen voxel; None if none is chosen."""
    pairs = [(part.min(), part.max()) for part in _chosen(slabs, voxels) if part.size]
    return (float(min(low for low, _ in pairs)), float(max(high for _, high in pairs))) if pairs else None


def mean_and_deviation(slabs: Slabs, voxels: str, clip: tuple[float, float]) -> tuple[float, float]:
    """Mean and standard deviation of the chosen voxels after clipping; (0, 0) if none is chosen."""
    count, total, squares = 0, 0.0, 0.0
    for part in _chosen(slabs, voxels):
        # Around the range's middle, so that large offsets do not eat the digits of the squares.
        numbers = part.clip(*clip).astype(np.float64) - sum(clip) / 2
        count += part.size
        total += float(numbers.sum())
        squares += float((numbers**2).sum())
    if count == 0:
        return 0.0, 0.0
    mean = total / count
    return mean + sum(clip) / 2, float(np.sqrt(max(squares / count - mean**2, 0.0)))


def _chosen(slabs: Slabs, voxels: str) -> Iterable[NDArray[np.float32]]:
    for slab in slabs():
        values = np.asarray(slab, np.float32)
        yield values[np.isfinite(values) & CHOICES[voxels](values)]


def _keys(slabs: Slabs, voxels: str) -> Iterable[NDArray[np.uint32]]:
    """Whole numbers in the same order as the values: of IEEE floats the bits, with negative ones turned round."""
    for part in _chosen(slabs, voxels):
        bits = (part + np.float32(0)).view(np.uint32)  # the sum makes -0 into 0
        yield np.where(bits >> 31, ~bits, bits | np.uint32(2**31))


def _value(key: int) -> float:
    bits = key ^ 2**31 if key >> 31 else key ^ (2**32 - 1)
    return float(np.uint32(bits).view(np.float32))
