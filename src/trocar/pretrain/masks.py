"""Which tokens of a clip are seen and which are to be found: tubes for MAE, blocks for JEPA.

Tokens are numbered in the order time, height, width. A mask follows from the numbers that it is drawn with alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Grid = tuple[int, int, int]
TRIES = 200  # positions of blocks before it is said that they cover everything


@dataclass(frozen=True, eq=False)
class Masks:
    """Seen and hidden tokens of B clips; each clip has as many of both, so that they can be stacked.

    Args:
        seen: (B, K) long, ascending.
        hidden: (B, M) long, ascending; not always all that is not seen.
        share: of all tokens that were seen before sets were cut to one length.
    """

    seen: Tensor
    hidden: Tensor
    share: float

    def to(self, device: torch.device) -> Masks:
        return Masks(self.seen.to(device), self.hidden.to(device), self.share)


@dataclass(frozen=True)
class Blocks:
    """One family of block masks (V-JEPA, section 3.2).

    Args:
        count: blocks in a clip; their union is hidden, through all of its frames.
        area: part of the picture that one block covers.
        least_ratio, most_ratio: height over width of a block is drawn evenly between them.
    """

    count: int = 8
    area: float = 0.15
    least_ratio: float = 0.75
    most_ratio: float = 1.5

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.area < 1 or not 0 < self.least_ratio <= self.most_ratio:
            raise ValueError(f"blocks need count >= 1, area between 0 and 1, and ratios above 0 in order, not {self}")


def tube_masks(grid: Grid, ratio: float, rngs: Sequence[np.random.Generator]) -> Masks:
    """VideoMAE's masks: one random set of places for each clip, hidden in all of its frames (section 3.3).

    Args:
        grid: places of tokens in time, height and width.
        ratio: of the places that are hidden, rounded down.
        rngs: one for each clip.

    Raises:
        ValueError: nothing would be seen, or nothing hidden.
    """
    time, places = grid[0], grid[1] * grid[2]
    hidden = int(ratio * places)
    if not 0 < hidden < places:
        raise ValueError(f"a mask ratio of {ratio} hides {hidden} of {places} places: choose another one")
    orders = [rng.permutation(places) for rng in rngs]
    seen = [_through(np.sort(order[hidden:]), time, places) for order in orders]
    lost = [_through(np.sort(order[:hidden]), time, places) for order in orders]
    return Masks(_stacked(seen), _stacked(lost), 1 - hidden / places)


def block_size(grid: Grid, blocks: Blocks, rng: np.random.Generator) -> tuple[int, int]:
    """Height and width of a family's blocks, in tokens; drawn once for a whole step."""
    ratio = rng.uniform(blocks.least_ratio, blocks.most_ratio)
    area = int(grid[1] * grid[2] * blocks.area)
    height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    return min(max(height, 1), grid[1]), min(max(width, 1), grid[2])


def block_masks(
    grid: Grid,
    blocks: Blocks,
    size: tuple[int, int],
    rngs: Sequence[np.random.Generator],
    cut: Literal["random", "tail"] = "random",
) -> Masks:
    """V-JEPA's masks: the union of blocks is hidden, the rest is seen.

    Args:
        grid: places of tokens in time, height and width.
        blocks: how many blocks a clip has.
        size: height and width of each.
        rngs: one for each clip.
        cut: how sets are cut to the shortest one among the clips: "random" keeps a random part of the longer ones;
            "tail" keeps the first in order of time, as the release does, so that the last frames lose most.

    Raises:
        ValueError: the blocks cover everything.
    """
    time, places = grid[0], grid[1] * grid[2]
    seen, hidden = [], []
    for rng in rngs:
        covered = _covered(grid, blocks.count, size, rng)
        seen.append(_through(np.flatnonzero(~covered), time, places))
        hidden.append(_through(np.flatnonzero(covered), time, places))
    share = sum(map(len, seen)) / (len(seen) * time * places)
    return Masks(_cut(seen, cut, rngs), _cut(hidden, cut, rngs), share)


def _covered(grid: Grid, count: int, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(H * W,) places under blocks."""
    for _ in range(TRIES):
        picture = np.zeros(grid[1:], np.bool_)
        for _ in range(count):
            top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(grid[1:], size, strict=True))
            picture[top : top + size[0], left : left + size[1]] = True
        if not picture.all():
            return picture.ravel()
    raise ValueError(f"{count} blocks of {size} cover all of {grid[1:]} tokens: choose fewer or smaller ones")


def _through(places: NDArray[np.int64], time: int, count: int) -> NDArray[np.int64]:
    """The same places in every slot of time."""
    tokens: NDArray[np.int64] = (np.arange(time)[:, None] * count + places).ravel()
    return tokens


def _cut(sets: Sequence[NDArray[np.int64]], cut: str, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Sets of one length."""
    length = min(map(len, sets))
    if cut == "tail":
        return _stacked([one[:length] for one in sets])
    kept = [np.sort(rng.choice(len(one), length, replace=False)) for one, rng in zip(sets, rngs, strict=True)]
    return _stacked([one[places] for one, places in zip(sets, kept, strict=True)])


def _stacked(sets: Sequence[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.stack(sets))
