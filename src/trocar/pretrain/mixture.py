"""Mixed batches: clips of several pools in exact shares, in an order that only the seed decides.

SurgRec (section 3.1) draws 15 % of a batch from the clinical core and 85 % from a mixture of 70 % unlabelled and 30 %
clinical clips: 59.5 % unlabelled and 40.5 % clinical in all. Here all draws of a run form one endless sequence. Draw n
takes the pool that is furthest behind its share, so that no pool is ever a whole clip off, whatever the batch size.
Batch s of size B is the draws s B to (s + 1) B - 1. Hence a resumed run, or one on another number of processes, sees
the same clips in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

LONGEST_PERIOD = 100_000


@dataclass(frozen=True)
class Draw:
    """One clip of a batch.

    Args:
        pool: its name.
        index: which of the pool's clips, from 0.
        position: its place in the sequence of all draws; with the run's seed it can seed crops and flips.
    """

    pool: str
    index: int
    position: int


def surgrec_shares(core: float = 0.15, unlabelled: float = 0.7) -> dict[str, float]:
    """The share of each pool in a batch: "core", "unlabelled" and "clinical".

    In the paper core and clinical are the same videos; as pools they are apart, so that they can differ.

    Args:
        core: share of a batch that is drawn from the core alone.
        unlabelled: share of unlabelled clips in the rest.

    Raises:
        ValueError: a share is outside 0..1.
    """
    if not (0 <= core <= 1 and 0 <= unlabelled <= 1):
        raise ValueError(f"shares lie between 0 and 1, not core={core} and unlabelled={unlabelled}: mend the recipe")
    rest = 1 - Fraction(str(core))
    parts = {
        "core": Fraction(str(core)),
        "unlabelled": rest * Fraction(str(unlabelled)),
        "clinical": rest * (1 - Fraction(str(unlabelled))),
    }
    return {name: float(part) for name, part in parts.items()}


class Mixture:
    """The endless sequence of draws.

    Args:
        sizes: pool -> number of its clips.
        shares: pool -> its share of the draws; they add up to 1. A pool that is left out has none.
        seed: decides the order within pools. Each pool is passed through in a new random order every time, so that
            every clip comes once before any comes again.

    Raises:
        ValueError: shares do not add up to 1, or a pool that has a share has no clips.
    """

    def __init__(self, sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> None:
        exact = {name: Fraction(str(share)).limit_denominator(10_000) for name, share in shares.items() if share}
        period = math.lcm(*(share.denominator for share in exact.values())) if exact else 0
        if sum(exact.values()) != 1 or min(exact.values()) < 0:
            raise ValueError(f"the shares of the pools are {dict(shares)}: they must be positive and add up to 1")
        if period > LONGEST_PERIOD:
            raise ValueError(f"the shares {dict(shares)} have no short common period: round them to 0.001")
        empty = [name for name in exact if sizes.get(name, 0) < 1]
        if empty:
            raise ValueError(f"the pool {empty[0]!r} has a share but no clips: give it clips or the share 0")
        self._names = list(exact)
        self._sizes = [int(sizes[name]) for name in self._names]
        self._seed = seed
        self._pattern = _pattern([int(share * period) for share in exact.values()], period)
        # How many draws of each pool lie before every place of the pattern.
        taken = (self._pattern[:, None] == np.arange(len(exact))).cumsum(0)
        self._before = np.concatenate([np.zeros((1, len(exact)), np.int64), taken])
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def batch(self, step: int, size: int, rank: int = 0, world: int = 1) -> list[Draw]:
        """The draws of a batch that fall to one of `world` processes: every `world`-th, from its `rank` on.

        Args:
            step: number of the batch, from 0.
            size: draws of the whole batch, over all processes.

        Raises:
            ValueError: a negative step, an empty batch, or a rank outside 0..world-1.
        """
        if step < 0 or size < 1 or not 0 <= rank < world:
            raise ValueError(
                f"batch({step=}, {size=}, {rank=}, {world=}): need step >= 0, size >= 1, 0 <= rank < world"
            )
        return [self._draw(step * size + number) for number in range(rank, size, world)]

    def _draw(self, position: int) -> Draw:
        periods, place = divmod(position, len(self._pattern))
        pool = int(self._pattern[place])
        turn, at = divmod(periods * int(self._before[-1, pool]) + int(self._before[place, pool]), self._sizes[pool])
        return Draw(self._names[pool], int(self._order(pool, turn)[at]), position)

    def _order(self, pool: int, turn: int) -> NDArray[np.int64]:
        """The order of a pool's clips in one pass through it."""
        kept = self._orders.get(pool)
        if kept is None or kept[0] != turn:
            stream = int.from_bytes(self._names[pool].encode(), "little")  # by name: other pools do not matter
            kept = turn, np.random.default_rng([self._seed, stream, turn]).permutation(self._sizes[pool])
            self._orders[pool] = kept
        return kept[1]


def _pattern(counts: list[int], period: int) -> NDArray[np.int64]:
    """Which pool each draw of a period takes: always the one that is furthest behind its share."""
    behind = np.zeros(len(counts), np.int64)  # in units of 1 / period draws, so that it is exact
    pattern = np.empty(period, np.int64)
    for place in range(period):
        behind += counts
        pattern[place] = int(behind.argmax())
        behind[pattern[place]] -= period
    return pattern
