"""`tree`: several paths of masks at once; which was best is known in hindsight (SAM2Long, Ding et al. 2024).

Read: a plan for each path: all prompted frames (slot 6), and the path's last six frames with predicted IoU > min_iou
and a present object, the newest frame in any case; slots by rank. Pointers of the prompts and of up to 15 such frames,
coded by rank. Keys are scaled from 0.95 to 1.05 by rank of object score, where prompts count as 10; prompts alone are
not scaled. Kept: all prompted frames and, for each path, its last 15 frames of that kind and its newest one.

A path's score is the sum of ln(predicted IoU + 1e-5), here relative to the best path's, and all candidates of all paths
are ranked together. On a certain frame, where the largest absolute object score exceeds `uncertainty`, the best P go
on. On others the best go on whose predicted IoU, negative where the object is absent, was not seen to two decimals; if
those are fewer than P, the best of each path without survivor is added. The first tracked frame has one path, score 0.

Paths are equal until the first uncertain frame, and the release carries P copies. Here equal paths are one, with a
count; the result is the same. The frames kept are those that the release finds by searching the whole past.

Differs from the release in `corrected` mode (the default): all frames found give a pointer (the release stops one
short), and pointer codes do not depend on the length of a short source. In both modes prompts may lie anywhere and are
shared by all paths, passes may run back, there may be several objects, and any resolution will do.

Open points: the release's defaults disagree (`min_iou`, `uncertainty`); how many paths an uncertain frame may
add is not said, here P is never exceeded; a single key is not scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np

from trocar.memory.bounds import check_choices, check_least, check_window
from trocar.memory.pathways import COPIES, Pathway, copies_tag, survivors
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    PointerItem,
    PolicySpec,
    ReadPlan,
    Record,
    SpatialItem,
    Visit,
    best_candidate,
)
from trocar.memory.window import (
    by_distance,
    by_rank,
    nearest_prompts,
    pointer_bound,
    pointer_items,
    prompt_items,
    unselected,
)

PROMPT_SCORE = 10.0  # object score of prompts in the ranking that scales keys

Item = TypeVar("Item", SpatialItem, PointerItem)


@dataclass(eq=False)
class Tree:
    """SAM2Long's memory tree.

    Neutral, that is equal to `recent`: pathways=1, min_iou=None, gain_low=1, gain_high=1, slots="distance",
    pointer_code="distance".

    Args:
        mode: "corrected" or "faithful", see above.
        window: frames read besides the prompted ones (`num_maskmem` - 1 = 6).
        max_pointers: bound on the rank or distance of pointers (`max_obj_ptrs_in_encoder` = 16).
        max_prompted: prompted frames read at most, at least 2; None for no limit (`max_cond_frames_in_attn` = -1).
        pathways: P, how many paths at most (`num_pathway` = 3).
        min_iou: predicted IoU above which a frame with a present object qualifies (`iou_thre`: paper and the script's
            default 0.3; the release's README and its function's default 0.1); None takes every frame, absent or not.
        uncertainty: absolute object score above which a frame is certain (`uncertainty`: paper, README and function 2;
            the script's default 1).
        gain_low: factor on the keys of the lowest object score (release: 0.95).
        gain_high: factor on the keys of the highest (release: 1.05).
        lag: frames by which masks are held back at most, for a later choice to revise them: None or "end" for up to
            the end of the pass (as published), 0 for the best path so far.
        slots: temporal codes by "rank" (as published) or by "distance": then older frames than `window` are not read.
        pointer_code: the same for pointers, where older frames than `max_pointers` - 1 are not read.
    """

    mode: Literal["corrected", "faithful"] = "corrected"
    window: int = 6
    max_pointers: int = 16
    max_prompted: int | None = None
    pathways: int = 3
    min_iou: float | None = 0.3
    uncertainty: float = 2.0
    gain_low: float = 0.95
    gain_high: float = 1.05
    lag: int | Literal["end"] | None = None
    slots: Literal["rank", "distance"] = "rank"
    pointer_code: Literal["rank", "distance"] = "rank"

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    paths: list[Pathway] = field(default_factory=list, init=False)  # best first; none before the first tracked frame

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self)
        check_least(self, {"pathways": 1})
        if not 0 < self.gain_low <= self.gain_high:
            raise ValueError(f"tree needs 0 < gain_low <= gain_high, not {self.gain_low} and {self.gain_high}")
        if self.lag not in (None, "end") and not (isinstance(self.lag, int) and self.lag >= 0):
            raise ValueError(f"lag is a number of frames from 0 on, or 'end' for the end of the pass, not {self.lag!r}")

    @property
    def spec(self) -> PolicySpec:
        return PolicySpec(lag=None if isinstance(self.lag, str) else self.lag)

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        past = [path["qualified"] | path["newest"] for path in self.paths] or [{}]
        return [self._plan(frames, visit, query) for frames in past]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        if self.paths:
            return survivors(self.paths, candidates, self.pathways, self.uncertainty)
        return [replace(best_candidate(candidates)[0], tags=copies_tag(self.pathways))]

    def write(self, visit: Visit, records: list[Record]) -> None:
        first = records[0].entry
        if first.role == "prompted":
            self.prompted[first.time] = first.id
            for path in self.paths:
                path["qualified"].pop(first.time, None)
                if visit.time == first.time:  # it is the newest frame of all paths
                    path["newest"] = {}
            return
        self.paths = [self._grown(record) for record in records]

    def live(self) -> set[EntryId]:
        kept = [ids for path in self.paths for ids in (path["qualified"], path["newest"])]
        return {entry for ids in (self.prompted, *kept) for entry in ids.values()}

    def _plan(self, frames: dict[int, EntryId], visit: Visit, query: FrameView) -> ReadPlan:
        selected = nearest_prompts(self.prompted, visit, self.max_prompted)
        others = frames | unselected(self.prompted, selected)
        times = sorted((time for time in others if visit.distance(time) > 0), key=visit.distance)
        newest_first = [others[time] for time in times]
        recent = by_distance(others, visit, self.window)
        if self.slots == "rank":
            recent = by_rank(newest_first[: self.window])
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        pointers = pointer_items(selected, others, visit, bound)
        if self.pointer_code == "rank":
            found = newest_first[:-1] if self.mode == "faithful" else newest_first
            ranked = [PointerItem(entry, rank, bound - 1) for rank, entry in enumerate(found[: bound - 1], start=1)]
            pointers = (*pointer_items(selected, {}, visit, bound), *ranked)
        return ReadPlan(self._scaled(prompt_items(selected) + recent, query), self._scaled(pointers, query))

    def _scaled(self, items: Sequence[Item], query: FrameView) -> tuple[Item, ...]:
        """With factors on the keys, spaced evenly by rank of object score; of equals the later item ranks higher."""
        entries = [query.entries[item.entry] for item in items]
        if len(items) < 2 or all(entry.role == "prompted" for entry in entries):
            return tuple(items)
        scores = [PROMPT_SCORE if entry.role == "prompted" else entry.object_score for entry in entries]
        step = (self.gain_high - self.gain_low) / (len(items) - 1)
        gains = {index: self.gain_low + step * rank for rank, index in enumerate(np.argsort(scores, kind="stable"))}
        return tuple(replace(item, gain=gains[index]) for index, item in enumerate(items))

    def _grown(self, record: Record) -> Pathway:
        """The path of a survivor: its parent's and the new frame."""
        entry, choice = record.entry, record.choice
        if choice is None:
            raise ValueError("a tracked entry comes with the choice that made it")
        qualified = dict(self.paths[choice.parent]["qualified"]) if self.paths else {}
        qualified.pop(entry.time, None)
        if self.min_iou is None or (entry.present and entry.iou > self.min_iou):
            qualified[entry.time] = entry.id
        while len(qualified) > max(self.window, self.max_pointers - 1):
            del qualified[next(iter(qualified))]
        copies = int(choice.tags.get(COPIES, 1))
        return {"score": choice.score, "copies": copies, "qualified": qualified, "newest": {entry.time: entry.id}}
