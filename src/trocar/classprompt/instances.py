"""One class, several instruments: the mask of a class into the masks of its instances.

Connected pieces are instances, unless they belong together: an instrument that another one crosses falls into two
pieces which lie on one line. Two pieces are one where the longer axis of each, drawn on, meets the other and the gap
between them is small. Instruments of a class whose masks touch stay one piece; tracking tells them apart once they have
been seen apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

LEAST_CELLS = 4
OUTSIDE = -16.0  # what an instance's logits are at most where another one is


@dataclass(frozen=True)
class Pieces:
    """How a class's mask is split.

    Args:
        least: pieces under this part of the largest one are dropped as specks.
        gap: pieces belong together over at most this gap, as a part of the map's side.
        angle: and only if their axes differ by less than this, in radians.
        elongation: and both are at least this much longer than wide: blobs have no axis.
    """

    least: float = 0.1
    gap: float = 0.2
    angle: float = 0.2
    elongation: float = 2.0


@dataclass(frozen=True)
class _Axis:
    centre: NDArray[np.float64]
    along: NDArray[np.float64]
    elongation: float
    width: float


def split_instances(logits: Tensor, rules: Pieces | None = None) -> list[Tensor]:
    """The (s, s) logits of each instance, the largest first; nothing for an empty mask.

    Args:
        logits: (s, s) of the class.
        rules: see `Pieces`.
    """
    rules = rules or Pieces()
    pieces, count = ndimage.label((logits > 0).cpu().numpy(), np.ones((3, 3)))
    if count == 0:
        return []
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    kept = [one + 1 for one in range(count) if sizes[one] >= max(LEAST_CELLS, rules.least * sizes.max())]
    if not kept and sizes.max():
        kept = [int(sizes.argmax()) + 1]
    groups = _grouped(pieces, kept, rules)
    groups.sort(key=lambda group: -sum(int(sizes[one - 1]) for one in group))
    nearest = _nearest(pieces, groups)
    masks = [torch.from_numpy(nearest == number).to(logits.device) for number in range(len(groups))]
    return [torch.where(mask, logits, logits.clamp(max=OUTSIDE)) for mask in masks]


def _nearest(pieces: NDArray[np.int32], groups: list[list[int]]) -> NDArray[np.int64]:
    """The group that each place belongs to: that of the nearest piece, specks included as their own."""
    places = ndimage.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True)
    owner = np.full(int(pieces.max()) + 1, -1)
    for number, group in enumerate(groups):
        owner[group] = number
    nearest: NDArray[np.int64] = owner[pieces[tuple(places)]]
    return nearest


def _grouped(pieces: NDArray[np.int32], kept: list[int], rules: Pieces) -> list[list[int]]:
    """Pieces that belong together, as lists of their labels."""
    group = {one: {one} for one in kept}
    axes = {one: _axis(pieces == one) for one in kept}
    for one, other in combinations(kept, 2):
        near = _gap(pieces, one, other) <= rules.gap * len(pieces)
        if near and _in_line(axes[one], axes[other], rules):
            together = group[one] | group[other]
            for member in together:
                group[member] = together
    unique = {id(members): sorted(members) for members in group.values()}
    return list(unique.values())


def _axis(mask: NDArray[np.bool_]) -> _Axis:
    places = np.argwhere(mask).astype(np.float64)
    centre = places.mean(0)
    spread, directions = np.linalg.eigh(np.cov((places - centre).T, bias=True) + np.eye(2) / 12)
    return _Axis(centre, directions[:, 1], float(np.sqrt(spread[1] / spread[0])), float(np.sqrt(12 * spread[0])))


def _in_line(one: _Axis, other: _Axis, rules: Pieces) -> bool:
    """Whether two pieces lie on one line: axes alike, and each centre within the other's width of its axis."""
    if min(one.elongation, other.elongation) < rules.elongation:
        return False
    between = other.centre - one.centre
    if abs(one.along @ other.along) < np.cos(rules.angle):
        return False
    aside = [abs(between @ np.array([-axis.along[1], axis.along[0]])) for axis in (one, other)]
    return bool(max(aside) <= (one.width + other.width) / 2)


def _gap(pieces: NDArray[np.int32], one: int, other: int) -> float:
    """The smallest distance between two pieces, in cells."""
    distance = ndimage.distance_transform_edt(pieces != one)
    return float(distance[pieces == other].min())
