"""How well reconstructed masklets keep their ids: switches, precision and recall against true masklets.

Three questions are asked. Of each mask: is it there (precision, recall), and does its id change on the way (switches;
Bernardin & Stiefelhagen, CLEAR MOT, 2008)? Of all masks of an id: how many belong to the one true object that it
stands for (identity precision, recall and F1; Ristani et al., 2016)? Of each masklet: is it, as a whole, a true one?
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from trocar.metrics.score import Mask

LEAST_IOU = 0.5
"""IoU from which on a mask, or a masklet over all its frames, is taken for a true one."""


@dataclass(frozen=True)
class AssociationScore:
    """Counts, which add up over videos, and the rates that follow from them (NaN where nothing counts).

    Args:
        switches: times that a true object is found under another id than the one it was last found under.
        matched, found, true: masks that agree with a true one, found masks, true masks.
        kept: masks that agree under the best one-to-one choice of ids for true objects over the whole video.
        masklets_matched, masklets_found, masklets_true: the same of masklets, by the IoU over all their frames.
    """

    switches: int = 0
    matched: int = 0
    found: int = 0
    true: int = 0
    kept: int = 0
    masklets_matched: int = 0
    masklets_found: int = 0
    masklets_true: int = 0

    def __add__(self, other: AssociationScore) -> AssociationScore:
        return AssociationScore(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def precision(self) -> float:
        """The share of found masks that are true."""
        return _share(self.matched, self.found)

    @property
    def recall(self) -> float:
        """The share of true masks that are found."""
        return _share(self.matched, self.true)

    @property
    def identity_precision(self) -> float:
        return _share(self.kept, self.found)

    @property
    def identity_recall(self) -> float:
        return _share(self.kept, self.true)

    @property
    def identity_f1(self) -> float:
        return _share(2 * self.kept, self.found + self.true)

    @property
    def masklet_precision(self) -> float:
        """The share of found masklets that are, as a whole, a true one."""
        return _share(self.masklets_matched, self.masklets_found)

    @property
    def masklet_recall(self) -> float:
        """The share of true masklets that are found as a whole."""
        return _share(self.masklets_matched, self.masklets_true)


class AssociationScorer:
    """Scores one video, frame by frame; what it keeps grows with the number of ids, not of frames.

    Args:
        least_iou: above 0 and at most 1, see `LEAST_IOU`.

    Raises:
        ValueError: `least_iou` is not.
    """

    def __init__(self, least_iou: float = LEAST_IOU) -> None:
        if not 0 < least_iou <= 1:
            raise ValueError(f"the IoU that counts as a match lies above 0 and is 1 at most, not {least_iou:g}")
        self._least = least_iou
        self._last: dict[int, int] = {}  # true id -> the id it was last found under
        self._switches = self._matched = 0
        self._agree: Counter[tuple[int, int]] = Counter()  # frames on which (found, true) agree
        self._shared: Counter[tuple[int, int]] = Counter()  # their pixels in common
        self._pixels: dict[str, Counter[int]] = {"found": Counter(), "true": Counter()}
        self._masks: Counter[str] = Counter()

    def add(self, found: Mapping[int, Mask], truth: Mapping[int, Mask]) -> None:
        """Score a frame: id -> (rows, columns) bool mask; an empty mask counts as none.

        Raises:
            ValueError: masks of different shapes.
        """
        found = {i: mask for i, mask in found.items() if mask.any()}
        truth = {i: mask for i, mask in truth.items() if mask.any()}
        if len({mask.shape for mask in (*found.values(), *truth.values())}) > 1:
            raise ValueError("found and true masks of a frame differ in shape: resize one to the other")
        found_ids, true_ids = list(found), list(truth)
        shared = np.array([[np.count_nonzero(f & t) for t in truth.values()] for f in found.values()], np.float64)
        shared = shared.reshape(len(found), len(truth))
        areas = {"found": _areas(found), "true": _areas(truth)}
        union = areas["found"][:, None] + areas["true"][None] - shared
        iou = shared / np.maximum(union, 1)
        for kind, ids in (("found", found_ids), ("true", true_ids)):
            self._masks[kind] += len(ids)
            self._pixels[kind].update(dict(zip(ids, areas[kind].astype(int).tolist(), strict=True)))
        for f, t in zip(*np.nonzero(shared), strict=True):
            self._shared[found_ids[f], true_ids[t]] += int(shared[f, t])
            self._agree[found_ids[f], true_ids[t]] += int(iou[f, t] >= self._least)
        for f, t in self._matches(iou, found_ids, true_ids):
            self._matched += 1
            self._switches += self._last.get(true_ids[t], found_ids[f]) != found_ids[f]
            self._last[true_ids[t]] = found_ids[f]

    def _matches(self, iou: NDArray[np.float64], found_ids: list[int], true_ids: list[int]) -> list[tuple[int, int]]:
        """Pairs (found, true): those of the frames before where they still agree, then the best of what is left."""
        worth = np.where(iou >= self._least, iou, 0.0)
        for t, true_id in enumerate(true_ids):
            if (before := self._last.get(true_id)) in found_ids:
                f = found_ids.index(before)
                worth[f, t] += 2 * (worth[f, t] > 0)  # more than any other match is worth
        return [(int(f), int(t)) for f, t in zip(*_best(worth), strict=True) if worth[f, t] > 0]

    def score(self) -> AssociationScore:
        """The score of all frames so far."""
        pixels = self._pixels
        iou = {
            (f, t): shared / (pixels["found"][f] + pixels["true"][t] - shared)
            for (f, t), shared in self._shared.items()
        }
        whole = Counter({pair: 1 for pair, value in iou.items() if value >= self._least})
        return AssociationScore(
            self._switches,
            self._matched,
            self._masks["found"],
            self._masks["true"],
            _most(self._agree),
            _most(whole),
            len(pixels["found"]),
            len(pixels["true"]),
        )


def _areas(masks: Mapping[int, Mask]) -> NDArray[np.float64]:
    return np.array([np.count_nonzero(mask) for mask in masks.values()], np.float64)


def _best(worth: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The one-to-one choice that is worth most in sum."""
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return rows, columns


def _most(counts: Counter[tuple[int, int]]) -> int:
    """The largest sum of counts when each found id stands for one true id at most, and each true id has one."""
    found, true = (sorted({pair[side] for pair in counts}) for side in (0, 1))
    worth = np.zeros((len(found), len(true)))
    for (f, t), count in counts.items():
        worth[found.index(f), true.index(t)] = count
    return int(worth[_best(worth)].sum())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
