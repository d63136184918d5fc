"""`divemem`: SAM2S's diverse long-term memory (Liu et al. 2025, section 4.2).

Read: every prompted frame (slot 6), among them the initial one, l0, which stays for ever; the long-term queue, oldest
first (slots from 7 on, learned for it); the six most recent frames, good or bad, at their distance (slots 0 to 5); SAM
2's pointers. Kept: prompted and recent frames, a queue of N_l - 1 long-term frames and a buffer of up to five
candidates. When the object was present with predicted IoU > 0.95 on five frames in a row, the one of them whose image
feature is least like that of the newest long-term frame (of l0 while there is none) joins the queue, of which the
oldest goes; then the buffer is empty again. The choice falls before the next frame is read.

Differs in `corrected` mode (the default): pointer codes do not depend on the length of a source shorter than 16
frames, as in `recent`. Nothing else does, for no released code was at hand: all rests on the paper.

Open points, each a knob with the paper's most literal reading as default. Whether N_l counts l0, which bears the
queue's index 0 (`counts_first`). Whether the five follow each other, and what a bad frame does (`streak`). What
"present" is (`presence`). How two maps are compared, where equation 2 is one inner product (`similarity`). How many
learned rows there are: training shows two long-term frames and the queue holds three, so one for all (`slots`).
Whether long-term frames give pointers, of which the paper is silent (`long_term_pointers`). Whether a long-term frame
among the six recent ones is read twice, since short-term and long-term memory are simply combined (`in_window`).
With a checkpoint that has no learned long-term rows the loop takes its last row and warns once.
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
    PointerItem,
    PolicySpec,
    ReadPlan,
    Record,
    SpatialItem,
    Visit,
    best_candidate,
)
from trocar.memory.window import (
    PROMPTED_SLOT,
    by_distance,
    nearest_prompts,
    note,
    pointer_bound,
    pointer_items,
    prompt_items,
    unselected,
)

LONG_TERM_SLOT = PROMPTED_SLOT + 1  # the first of the learned rows


@dataclass(eq=False)
class DiveMem:
    """SAM 2's window and a queue of long-term frames that differ.

    Neutral: `capacity=1` leaves room for l0 alone and is `recent` (with `counts_first=False` that is `capacity=0`).

    Args:
        mode: "corrected" or "faithful", see above.
        window: recent frames read (SAM 2: `num_maskmem` - 1 = 6).
        stride: steps between them; the newest is always read (`memory_temporal_stride_for_eval` = 1).
        max_pointers: bound on the distance of pointers (`max_obj_ptrs_in_encoder` = 16).
        max_prompted: prompted frames read at most, at least 2, l0 not counted where it is none of the nearest; None
            for no limit (`max_cond_frames_in_attn` = -1).
        capacity: N_l, of the long-term memory (4).
        counts_first: whether N_l counts l0, so that the queue holds N_l - 1.
        buffer: Delta, how many candidates one is chosen from (5).
        min_iou: gamma_iou, which a candidate's predicted IoU exceeds (0.95).
        presence: what a candidate's presence logit exceeds (0); frames whose object is absent never are candidates.
        streak: whether candidates are "consecutive" frames; or "unbroken" by a bad frame, while frames that were
            prompted or never visited may lie between them; or "any", so that a bad frame merely pauses.
        similarity: the cosine of two features as one vector each ("flat"), of their means over all cells ("pooled"), or
            of each cell's channels, averaged over cells ("cells").
        slots: one learned row "shared" by the queue (slot 7), or "ranked" rows (7 the newest, 8 the one before, ...).
        long_term_pointers: whether long-term frames beyond `max_pointers` give pointers too, coded by their distance.
        in_window: a long-term frame that is read as a recent one too is read "twice", or "skip" the second time.
    """

    spec: ClassVar[PolicySpec] = PolicySpec(keep_feature="raw")

    mode: Literal["corrected", "faithful"] = "corrected"
    window: int = 6
    stride: int = 1
    max_pointers: int = 16
    max_prompted: int | None = None
    capacity: int = 4
    counts_first: bool = True
    buffer: int = 5
    min_iou: float = 0.95
    presence: float = 0.0
    streak: Literal["consecutive", "unbroken", "any"] = "consecutive"
    similarity: Literal["flat", "pooled", "cells"] = "flat"
    slots: Literal["shared", "ranked"] = "shared"
    long_term_pointers: bool = False
    in_window: Literal["twice", "skip"] = "twice"

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, in the order they were written
    long_term: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, the oldest member first
    candidates: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self)
        check_least(self, {"capacity": int(self.counts_first), "buffer": 1})

    @property
    def room(self) -> int:
        """How many frames the queue holds beside l0."""
        return self.capacity - int(self.counts_first)

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        first = max(self.prompted, key=visit.distance, default=None)  # the time of l0: what this pass met first
        if len(self.candidates) >= self.buffer and first is not None:
            self._promote(self.prompted[first], query.entries)
        selected = nearest_prompts(self.prompted, visit, self.max_prompted)
        if self.room and first is not None:
            selected.setdefault(first, self.prompted[first])
        others = self.tracked | unselected(self.prompted, selected)
        recent = by_distance(others, visit, self.window, self.stride)
        spatial = prompt_items(selected) + self._long_term_items(recent) + recent
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        pointers = pointer_items(selected, others, visit, bound)
        if self.long_term_pointers:
            far = [(entry, visit.distance(time)) for time, entry in self.long_term.items()]
            pointers += tuple(PointerItem(entry, steps, bound - 1) for entry, steps in far if steps >= bound > 1)
        return [ReadPlan(tuple(spatial), pointers)]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        self.long_term.pop(entry.time, None)
        self.candidates.pop(entry.time, None)
        reach = max(self.window * self.stride + 1, self.max_pointers - 1)
        note(entry, self.prompted, self.tracked, reach)
        # A full buffer waits for its frame to be chosen, which takes the features that `read` sees.
        if entry.role == "tracked" and self.room and len(self.candidates) < self.buffer:
            good = entry.present and entry.object_score > self.presence and entry.iou > self.min_iou
            consider(entry, visit, self.candidates, good, self.streak)

    def live(self) -> set[EntryId]:
        books = (self.prompted, self.tracked, self.long_term, self.candidates)
        return {entry for book in books for entry in book.values()}

    def _promote(self, first: EntryId, entries: Mapping[EntryId, MemoryEntry]) -> None:
        newest = entries[next(reversed(self.long_term.values()), first)]
        alike = cosines(entries_of(self.candidates, entries), newest, "feature", self.similarity)
        promote(self.candidates, self.long_term, self.room, alike)

    def _long_term_items(self, recent: list[SpatialItem]) -> list[SpatialItem]:
        skipped = {item.entry for item in recent} if self.in_window == "skip" else set()
        newest_first = enumerate(reversed(self.long_term.values()))
        items = [
            SpatialItem(entry, LONG_TERM_SLOT + (rank if self.slots == "ranked" else 0))
            for rank, entry in newest_first
            if entry not in skipped
        ]
        return items[::-1]
