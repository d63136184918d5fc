"""`pruned`: Surgical SAM 2's efficient frame pruning (Liu et al. 2024, and the released code of 2024-12 and 2025).

Read: as `recent`, prompted frames and the six most recent ones; of these the ones most like the last of them are left
out, the others keep their slots. Similarity is the cosine of each cell's channels in the spatial memory, summed over
cells; of equals the one that comes first in the list goes. Pointers are as in `recent`. Kept: as `recent`. What is left
out of one frame's memory is still kept and may be read on the next frame, so pruning saves attention, not storage.

Differs from the release in `corrected` mode (the default): every prompted frame is protected, where the release
protects but the first entry and the last, so that corrections may be pruned; where fewer entries may go than should,
those go. Pointer codes do not depend on the length of a source shorter than 16 frames, as in `recent`. In both modes
each object decides for itself, where the release adds up the similarities of all objects of a batch.

Knobs: two generations of the release prune at different times (`generation`), see the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trocar.memory.bounds import check_choices, check_least, check_window
from trocar.memory.diversity import cosines
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    MemoryEntry,
    PolicySpec,
    ReadPlan,
    Record,
    SpatialItem,
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
class Pruned:
    """SAM 2's window without the frames that tell the same as the newest.

    Neutral: `prune=0` is `recent`.

    Args:
        mode: "corrected" or "faithful", see above.
        window: recent frames before pruning (SAM 2: `num_maskmem` - 1 = 6).
        stride: steps between them; the newest is always read (`memory_temporal_stride_for_eval` = 1).
        max_pointers: bound on the distance of pointers (`max_obj_ptrs_in_encoder` = 16).
        max_prompted: prompted frames read at most, at least 2; None for no limit (`max_cond_frames_in_attn` = -1).
        generation: "2024-12" drops `prune` entries once there are `num_maskmem` = window + 1 of them; "2025" drops
            what exceeds window + 1 - `prune`, however many that are.
        prune: how many (2, `num_frame_to_prune` in 2025); 0 prunes nothing, in either generation.
    """

    spec: ClassVar[PolicySpec] = PolicySpec()

    mode: Literal["corrected", "faithful"] = "corrected"
    window: int = 6
    stride: int = 1
    max_pointers: int = 16
    max_prompted: int | None = None
    generation: Literal["2024-12", "2025"] = "2025"
    prune: int = 2

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, in the order they were written

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self)
        check_least(self, {"prune": 0})

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        selected = nearest_prompts(self.prompted, visit, self.max_prompted)
        others = self.tracked | unselected(self.prompted, selected)
        spatial = prompt_items(selected) + by_distance(others, visit, self.window, self.stride)
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        return [ReadPlan(tuple(self._pruned(spatial, query.entries)), pointer_items(selected, others, visit, bound))]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        reach = max(self.window * self.stride + 1, self.max_pointers - 1)
        note(records[0].entry, self.prompted, self.tracked, reach)

    def live(self) -> set[EntryId]:
        return set(self.prompted.values()) | set(self.tracked.values())

    def _pruned(self, items: list[SpatialItem], entries: Mapping[EntryId, MemoryEntry]) -> list[SpatialItem]:
        """The items without those to be left out."""
        full = self.window + 1
        excess = len(items) - full + self.prune
        if self.generation == "2024-12":
            excess = self.prune if len(items) >= full else 0
        loose = items[1:-1]
        if self.mode == "corrected":
            pinned = set(self.prompted.values())
            loose = [item for item in items[:-1] if item.entry not in pinned]
        if not self.prune or excess <= 0 or not loose:
            return items
        alike = cosines([entries[item.entry] for item in loose], entries[items[-1].entry], "spatial", "cells")
        by_similarity = sorted(range(len(loose)), key=lambda index: -alike[index])
        dropped = {loose[index].entry for index in by_similarity[:excess]}
        return [item for item in items if item.entry not in dropped]
