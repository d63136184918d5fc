"""Semantic masks into instances: connected pieces, and which of them belong together (SA-SV, section 3, step 1).

An instrument that lies under another one falls into pieces. They are one thing where what lies between them is covered
by other things, or is narrow, and they line up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Mask
from trocar.datasets.class_names import StandardName
from trocar.datasets.sighting import Instance, small_size

SLIM = 2.0
"""From which ratio of its axes on a piece has a direction."""


@dataclass(frozen=True)
class PieceSettings:
    """How pieces of a class become instances. Lengths are shares of the picture's diagonal, so that they suit any size.

    Args:
        least_area: pieces of a smaller share of the picture join a piece nearby, or are left out.
        touching: pieces at most this far apart are one thing.
        bridge: how far apart pieces that line up may be.
        hidden_bridge: how far apart they may be where other things cover most of what lies between them; 0 bridges
            nothing at all.
        hidden_share: what "most" is, 0..1.
        angle_deg: how far off a line pieces that line up may be.
    """

    least_area: float = 0.0002
    touching: float = 0.006
    bridge: float = 0.03
    hidden_bridge: float = 0.25
    hidden_share: float = 0.7
    angle_deg: float = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.least_area < 1 or min(self.touching, self.bridge, self.hidden_bridge) < 0:
            raise ValueError("least_area lies in 0..1, and touching, bridge and hidden_bridge are 0 or more")


def instances_of(
    masks: Mapping[int, Mask], names: Mapping[int, StandardName], settings: PieceSettings
) -> list[Instance]:
    """The instances in a frame's semantic masks, by class name and from top left to bottom right.

    Args:
        masks: class id -> (rows, columns) bool.
        names: class id -> its name.
        settings: see there.
    """
    # Organs and the parts of instruments are put together first; other ids stand for themselves, as left and right do.
    groups: dict[tuple[str, int], list[int]] = {}
    for number in sorted(number for number, mask in masks.items() if mask.any()):
        name = names[number]
        groups.setdefault((name.standard, 0 if name.whole or name.part else number), []).append(number)
    found: list[Instance] = []
    for (class_name, _), numbers in groups.items():
        mask = np.asarray(np.any([masks[i] for i in numbers], axis=0), np.bool_)
        if names[numbers[0]].whole:
            found.append(Instance(class_name, mask, tuple(numbers), whole=True))
            continue
        others = [other for i, other in masks.items() if i not in numbers and not names[i].whole]
        cover = np.any(others, axis=0) if others else np.zeros_like(mask)
        for piece in _things(mask, cover, settings):
            found.append(Instance(class_name, piece, tuple(i for i in numbers if (masks[i] & piece).any())))
    return sorted(found, key=lambda one: (one.class_name, int(one.mask.argmax()), one.origins))


def _things(mask: Mask, cover: Mask, settings: PieceSettings) -> list[Mask]:
    """The things that the pieces of a class make; how pieces lie is looked at in a small picture."""
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    size = small_size(*mask.shape)
    small = cv2.resize(labels.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int32)
    least = settings.least_area * mask.size
    shapes = {
        number: _Shape(small == number)
        for number in np.unique(small[small > 0]).tolist()
        if stats[number, cv2.CC_STAT_AREA] >= least
    }
    if not shapes:
        return []
    hiding = cv2.resize(cover.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    group = {number: number for number in shapes}
    for a, b in combinations(shapes, 2):
        if group[a] != group[b] and _one_thing(shapes[a], shapes[b], hiding, settings):
            old, new = group[b], group[a]
            group = {number: new if one == old else one for number, one in group.items()}
    table = np.zeros(count, np.int32)
    for number in range(1, count):
        at = (centres[number] * (size[1] / mask.shape[1], size[0] / mask.shape[0])).astype(int)
        owner = number if number in group else _nearest(at, shapes, settings.bridge * math.hypot(*size))
        table[number] = group.get(owner, 0)
    joined = table[labels]
    return [joined == one for one in sorted(set(group.values()))]


class _Shape:
    """A piece: its mask, distances to it, and the direction that it runs in."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.outside = np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5), np.float32)
        rows, columns = np.nonzero(mask)
        spread = np.cov(np.stack([columns, rows])) if len(rows) > 2 else np.eye(2)
        values, vectors = np.linalg.eigh(spread)
        self.length = math.sqrt(values[1])
        self.slim = self.length / math.sqrt(max(values[0], 1e-6)) >= SLIM
        self.direction = vectors[:, 1]
        self.centre = np.array([columns.mean(), rows.mean()])


def _one_thing(a: _Shape, b: _Shape, cover: Mask, settings: PieceSettings) -> bool:
    if settings.hidden_bridge == 0:
        return False
    diagonal = math.hypot(*cover.shape)
    gap = np.where(b.mask, a.outside, np.inf)
    far = float(gap.min())
    if far <= settings.touching * diagonal:
        return True
    if far > max(settings.bridge, settings.hidden_bridge) * diagonal or not _line_up(a, b, settings.angle_deg):
        return False
    if far <= settings.bridge * diagonal:
        return True
    end = np.array(np.unravel_index(int(gap.argmin()), gap.shape))
    start = np.array(np.unravel_index(int(np.where(a.mask, b.outside, np.inf).argmin()), gap.shape))
    steps = np.linspace(start, end, int(far) + 2)[1:-1].round().astype(int)
    between = ~(a.mask | b.mask)[steps[:, 0], steps[:, 1]]
    hidden = cover[steps[:, 0], steps[:, 1]]
    return float(hidden[between].mean()) >= settings.hidden_share if between.any() else True


def _line_up(a: _Shape, b: _Shape, angle_deg: float) -> bool:
    """Whether the pieces that have a direction share it, and one of them points at the other piece."""
    longer, shorter = (a, b) if a.length >= b.length else (b, a)
    # A short piece's own direction is that of the cut as often as that of the thing.
    directed = [one for one in (longer, shorter) if one.slim and one.length >= longer.length / 2]
    between = shorter.centre - longer.centre
    between = between / max(float(np.hypot(*between)), 1e-6)
    least = math.cos(math.radians(angle_deg))
    if len(directed) == 2 and abs(a.direction @ b.direction) < least:
        return False
    return any(abs(one.direction @ between) >= least for one in directed)


def _nearest(at: NDArray[np.int64], shapes: Mapping[int, _Shape], reach: float) -> int:
    """The piece nearest to a point (x, y), 0 where none is within reach."""
    far = {number: float(shape.outside[at[1], at[0]]) for number, shape in shapes.items()}
    nearest = min(far, key=lambda number: far[number])
    return nearest if far[nearest] <= reach else 0
