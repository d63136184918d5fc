"""DAVIS 2017, semi-supervised (Pont-Tuset et al.): first-frame masks, J and F of each object with recall and decay.

As in the official evaluation objects are those of the first frame, the first and the last frame do not count, void
pixels count for neither mask, and means are over objects. Pixels belong to one object at most: our tracker resolves
overlaps by the larger logit, in its memory too (SAM 2's script does so in its output only); of another tracker's masks
the lower id is on top, as SAM 2's script pastes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trocar.bench.masklets import Series, track_case
from trocar.bench.prompted_once import object_rows, scored
from trocar.bench.protocol import Scored, Source, parse_sources
from trocar.bench.results import Cell, Row, mean_cells
from trocar.bench.trackers import Begun, OwnTracker, Tracker, TrackerOptions, load_tracker
from trocar.datasets import Case, FrameTruth
from trocar.frames import FrameSource
from trocar.masks import FrameMasks
from trocar.metrics import DAVIS, decay, recall
from trocar.model.network import Network


@dataclass(frozen=True)
class Davis17:
    """DAVIS 2017.

    Args:
        subsets: SUBSET=DATASET/SPLIT each.
        tracker, memory, image_size, seed: as in `PromptedOnce`.
    """

    title: ClassVar[str] = "DAVIS 2017, semi-supervised"
    published: ClassVar[tuple[tuple[str, str], ...]] = ()

    subsets: tuple[str, ...] = ("val=davis17/val",)
    tracker: str = "trocar"
    memory: str = "recent"
    image_size: int | None = None
    seed: int = 0

    def sources(self) -> Sequence[Source]:
        """The subsets."""
        return parse_sources(self.subsets)

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Track the objects of the first frame from their masks."""
        own = OwnTracker(network, TrackerOptions(self.memory, self.image_size, non_overlap=True, seed=self.seed))
        tracker = _Disjoint(load_tracker(self.tracker, own))
        tracked = track_case(_first_frame_objects(case), own, tracker, "mask")
        rows = davis_rows(tracked.series, len(case.annotated_frames), case, source)
        return scored(case, rows, tracked.worst, {"mask": tracked.timing})

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Means over objects."""
        return mean_cells(rows)


def davis_rows(series: Mapping[int, Series], length: int, case: Case, source: Source) -> list[Row]:
    """The figures of the official evaluation for each object.

    Raises:
        ValueError: the video has fewer than three frames.
    """
    rows = []
    for number, one in sorted(series.items()):
        score = one.score(length, DAVIS, skip_prompt_frame=True)
        if score is None:
            raise ValueError(f"{case.name} has {length} frames: the rules of DAVIS need three at least")
        values = {"J&F": score.j_and_f, "J": score.j, "F": score.f}
        for name, per_frame in (("J", score.j_per_frame), ("F", score.f_per_frame)):
            values |= {f"{name} recall": recall(per_frame), f"{name} decay": decay(per_frame)}
        rows += object_rows(values, number, case, source, "mask")
    return rows


def _first_frame_objects(case: Case) -> Case:
    """The case without objects that the first frame does not show."""
    at_first = case.truth(case.annotated_frames[0])
    known = {number for number, mask in at_first.masks.items() if mask.any()} if at_first else set()

    def truth(frame: int) -> FrameTruth | None:
        whole = case.truth(frame)
        return whole and replace(whole, masks={name: mask for name, mask in whole.masks.items() if name in known})

    return replace(case, truth=truth)


class _Disjoint:
    """A tracker's masks with the lower id on top."""

    def __init__(self, tracker: Tracker) -> None:
        self.name, self._tracker = tracker.name, tracker

    def track(self, source: FrameSource, objects: Mapping[int, Begun]) -> Iterator[FrameMasks]:
        for found in self._tracker.track(source, objects):
            masks: dict[int, NDArray[np.bool_]] = {}
            for number, mask in sorted(found.masks.items()):
                masks[number] = mask & ~np.logical_or.reduce([np.zeros_like(mask), *masks.values()])
            yield replace(found, masks=masks)


PROTOCOL = Davis17
