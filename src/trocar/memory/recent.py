"""`recent`: SAM 2's own memory (Ravi et al. 2024, section 4 and the released predictor).

Read: every prompted frame (slot 6), the six most recent frames at their distance (slot 0 newest .. 5), and the
pointers of the prompted frames met so far and of up to 15 recent frames. Kept: all prompted frames, and as many recent
frames as may be read again.

Differs from the release in `corrected` mode (the default): pointer codes do not depend on the length of the source
when it is shorter than 16 frames, so that live input and files agree. (That a correction counts as a prompt and is
kept is the loop's doing, for every policy.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from trocar.memory.bounds import check_choices, check_window
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
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
class Recent:
    """SAM 2's window.

    Args:
        mode: "corrected" or "faithful", see above.
        window: recent frames read (SAM 2: `num_maskmem` - 1 = 6).
        stride: steps between them; the newest is always read (`memory_temporal_stride_for_eval` = 1).
        max_pointers: bound on the distance of pointers (`max_obj_ptrs_in_encoder` = 16).
        max_prompted: prompted frames read at most, at least 2; None for no limit (`max_cond_frames_in_attn` = -1).
    """

    spec: ClassVar[PolicySpec] = PolicySpec()

    mode: Literal["corrected", "faithful"] = "corrected"
    window: int = 6
    stride: int = 1
    max_pointers: int = 16
    max_prompted: int | None = None

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, in the order they were written

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self)

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        selected = nearest_prompts(self.prompted, visit, self.max_prompted)
        others = self.tracked | unselected(self.prompted, selected)
        spatial = prompt_items(selected) + by_distance(others, visit, self.window, self.stride)
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        return [ReadPlan(tuple(spatial), pointer_items(selected, others, visit, bound))]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        reach = max(self.window * self.stride + 1, self.max_pointers - 1)
        note(records[0].entry, self.prompted, self.tracked, reach)

    def live(self) -> set[EntryId]:
        return set(self.prompted.values()) | set(self.tracked.values())
