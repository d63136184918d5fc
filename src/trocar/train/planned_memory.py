"""The memory of a training clip: SAM 2's window, and long-term frames that the clip's plan names.

When a case is tracked, `divemem` picks its long-term frames by looking at them. In training the plan says which they
are (DiveMem sampling: Liu et al. 2025, section 4.2), and they are read as `divemem` reads its own: with the codes
learned for them, oldest first, between prompted and recent frames. Without long-term frames this is `recent`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trocar.memory.divemem import LONG_TERM_SLOT
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
from trocar.memory.window import by_distance, pointer_items, prompt_items

WINDOW = 6  # recent frames read
POINTERS = 16  # bound on the distance of pointers


@dataclass(frozen=True)
class MemorySettings:
    """What clips are remembered with.

    Args:
        long_term_slots: learned codes for long-term frames that the network gets beside SAM 2's seven. Where training
            begins with weights that lack them, they start as copies of the nearest code there is.
        slots: whether long-term frames share the first of these codes, or have one each by "ranked" age, the newest
            the first; as the knob of `divemem`, and to be given to it in the same way.
        long_term_pointers: whether long-term frames give pointers too, as the knob of `divemem`.
        future_pointers: whether prompted frames that come later give pointers (SAM 2's training: yes; tracking: no).
    """

    long_term_slots: int = 0
    slots: Literal["shared", "ranked"] = "shared"
    long_term_pointers: bool = False
    future_pointers: bool = False


@dataclass(eq=False)
class PlannedMemory:
    """SAM 2's window, and the long-term frames of a plan.

    Args:
        planned: times of the frames that are kept as long-term memory when they have been visited.
        settings: see `MemorySettings`.
    """

    spec: ClassVar[PolicySpec] = PolicySpec()

    planned: frozenset[int] = frozenset()
    settings: MemorySettings = field(default_factory=MemorySettings)

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    long_term: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, the oldest member first

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        recent = by_distance(self.tracked, visit, WINDOW)
        spatial = prompt_items(self.prompted) + self._long_term_items() + recent
        return [ReadPlan(tuple(spatial), self._pointers(visit))]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        for book in (self.prompted, self.tracked, self.long_term):
            book.pop(entry.time, None)
        if entry.role == "prompted":
            self.prompted[entry.time] = entry.id
        elif entry.time in self.planned:
            self.long_term[entry.time] = entry.id
        else:
            self.tracked[entry.time] = entry.id

    def live(self) -> set[EntryId]:
        return {entry for book in (self.prompted, self.tracked, self.long_term) for entry in book.values()}

    def _long_term_items(self) -> list[SpatialItem]:
        newest_first = enumerate(reversed(self.long_term.values()))
        ranked = self.settings.slots == "ranked"
        return [SpatialItem(entry, LONG_TERM_SLOT + (rank if ranked else 0)) for rank, entry in newest_first][::-1]

    def _pointers(self, visit: Visit) -> tuple[PointerItem, ...]:
        def items(entries: dict[int, EntryId]) -> tuple[PointerItem, ...]:
            return tuple(PointerItem(name, visit.distance(time), POINTERS - 1) for time, name in entries.items())

        settings = self.settings
        coming = {time: entry for time, entry in self.prompted.items() if visit.distance(time) < 0}
        pointers = items(coming) if settings.future_pointers else ()
        pointers += pointer_items(self.prompted, self.tracked, visit, POINTERS)
        return pointers + (items(self.long_term) if settings.long_term_pointers else ())
