"""`diverse_long_term`: ReSurgSAM2's diversity-driven long-term memory (Liu et al. 2025, and the released predictor).

Read: every prompted frame (slot 6), the six most recent frames at their distance (slots 0 to 5), then the long-term
queue, oldest first, without those among the six (slot 6 again); SAM 2's pointers. Kept: prompted and recent frames, a
queue of three long-term frames and up to five candidates. A tracked frame with predicted IoU > 0.95 is a candidate,
whether or not its object is present. Of five the one whose spatial memory is least like that of the newest long-term
frame (of the latest prompted one while there is none) joins the queue, of which the oldest goes; then there are no
candidates. The choice falls before the next frame is read.

Not part of it: the release's credible initial frame selection, which decides on what frame a found object becomes a
prompt. That is a gate before tracking starts, not a memory.

Differs from the release in `corrected` mode (the default): memories are compared cell by cell along their channels,
where the release takes the cosine along the last axis, which is the image's width. Candidates are found in both
directions, where the release looks for the previous frame at t - 1 even when it runs back, and finds none. The latest
prompted frame is the last one met, where the release takes that with the largest number, be it still to come. And
pointer codes do not depend on the length of a source shorter than 16 frames, as in `recent`.

Knobs beyond the release: `streak`. It has no test of adjacency and no bad frame clears its candidates ("any").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trocar.memory.bounds import check_choices, check_least, check_window
from trocar.memory.diversity import consider, cosines, entries_of, promote
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    MemoryEntry,
    PolicySpec,
    ReadPlan,
    Record,
    Visit,
    best_candidate,
)
from trocar.memory.window import (
    by_distance,
    nearest_prompts,
    note,
    pointer_bound,
    pointer_items,
    prompt_items,
    unselected,
)


@dataclass(eq=False)
class DiverseLongTerm:
    """SAM 2's window and a queue of long-term frames that are read like prompted ones.

    Neutral: `capacity=0` is `recent`.

    Args:
        mode: "corrected" or "faithful", see above.
        window: recent frames read (SAM 2: `num_maskmem` - 1 = 6).
        stride: steps between them; the newest is always read (`memory_temporal_stride_for_eval` = 1).
        max_pointers: bound on the distance of pointers (`max_obj_ptrs_in_encoder` = 16).
        max_prompted: prompted frames read at most, at least 2; None for no limit (`max_cond_frames_in_attn` = -1).
        capacity: of the long-term queue (`num_long_mem_frame` = 3); 0 for none.
        buffer: how many candidates one is chosen from (`num_long_mem_candidate` = 5).
        min_iou: which a candidate's predicted IoU exceeds (0.95 with `use_iou_to_find_long_mem`).
        streak: "any" good frames are candidates; or they are "unbroken" by a bad one; or "consecutive" as well.
    """

    spec: ClassVar[PolicySpec] = PolicySpec()

    mode: Literal["corrected", "faithful"] = "corrected"
    window: int = 6
    stride: int = 1
    max_pointers: int = 16
    max_prompted: int | None = None
    capacity: int = 3
    buffer: int = 5
    min_iou: float = 0.95
    streak: Literal["consecutive", "unbroken", "any"] = "any"

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, in the order they were written
    long_term: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, the oldest member first
    candidates: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self)
        check_least(self, {"capacity": 0, "buffer": 1})

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        if len(self.candidates) >= self.buffer:
            self._promote(visit, query.entries)
        selected = nearest_prompts(self.prompted, visit, self.max_prompted)
        others = self.tracked | unselected(self.prompted, selected)
        recent = by_distance(others, visit, self.window, self.stride)
        seen = {item.entry for item in recent}
        long_term = {time: entry for time, entry in self.long_term.items() if entry not in seen}
        spatial = prompt_items(selected) + recent + prompt_items(long_term)
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        return [ReadPlan(tuple(spatial), pointer_items(selected, others, visit, bound))]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        self.long_term.pop(entry.time, None)
        self.candidates.pop(entry.time, None)
        reach = max(self.window * self.stride + 1, self.max_pointers - 1)
        note(entry, self.prompted, self.tracked, reach)
        looked_at = self.mode == "corrected" or visit.direction > 0
        # Full candidates wait for one to be chosen, which takes the memories that `read` sees.
        if entry.role == "tracked" and looked_at and self.capacity and len(self.candidates) < self.buffer:
            consider(entry, visit, self.candidates, entry.iou > self.min_iou, self.streak)

    def live(self) -> set[EntryId]:
        books = (self.prompted, self.tracked, self.long_term, self.candidates)
        return {entry for book in books for entry in book.values()}

    def _promote(self, visit: Visit, entries: Mapping[EntryId, MemoryEntry]) -> None:
        newest = next(reversed(self.long_term.values()), self._latest_prompt(visit))
        if newest is not None:
            faithful = self.mode == "faithful"
            members = entries_of(self.candidates, entries)
            alike = cosines(members, entries[newest], "spatial", "width" if faithful else "cells")
            promote(self.candidates, self.long_term, self.capacity, alike)

    def _latest_prompt(self, visit: Visit) -> EntryId | None:
        met = [time for time in self.prompted if self.mode == "faithful" or visit.distance(time) >= 0]
        return self.prompted[max(met, key=lambda time: time * visit.direction)] if met else None
