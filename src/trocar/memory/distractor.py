"""`distractor`: DAM4SAM's distractor-aware memory (Videnovic et al. 2024 and the released code).

Read: the distractor-resolving memory, DRM: every prompted frame, among them the initial one, and the newest promoted
frames (all slot 6), but never the frame just before; and the recent-appearance memory, RAM: the newest frame and then
the multiples of `stride`, as many as DRM leaves of seven, with slots by rank; frames whose mask is empty are passed
over, however far back that leads. SAM 2's pointers, of the frames in DRM and of recent ones whose mask is not empty.
Kept: prompted frames, the newest promoted ones, recent ones, and the multiples of the stride that RAM may reach.

A frame is promoted if the decoder was sure of its mask, the mask's area was as usual, the last promotion was a while
ago, and another candidate reached far out: the largest piece of it outside the chosen mask widens the box much.

Differs from the release in `corrected` mode (the default): the initial frame is the object's own first prompt, all
prompts are protected and take nobody's place in DRM, either direction, and areas and boxes are measured on the
low-resolution masks. Stretching a frame changes neither a ratio of areas nor the overlap of upright boxes, so that
only decisions within a low-resolution pixel of a threshold change, while enlarging three masks to the size of the
video and labelling their pieces is what makes the release slow; and the size need not be known. Pointer codes do not
depend on the length of a short source. With one prompt, on frame 0, the rules of reading are the same in both modes.

The authors' port to several objects, d4sm, comes to nearly the same frames (by a first-in-first-out RAM that refreshes
at multiples of five and a frame's delay before DRM takes a promoted one). Its pointers, coded by rank, are not offered.
Open: where the newest frames are empty, we read no multiple that the search for RAM's first frame has passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trocar.memory.bounds import check_choices, check_least, check_window
from trocar.memory.boxes import box_iou_with_piece, enlarged
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
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
    note,
    pointer_bound,
    pointer_items,
    prompt_items,
    unselected,
)


@dataclass(eq=False)
class Distractor:
    """DAM4SAM.

    Neutral, that is equal to `recent`: drm=1, stride=1, slots="distance", skip_empty=False.

    Args:
        mode: "corrected" or "faithful", see above.
        window: RAM frames read while DRM holds prompts only; each promoted frame that is read takes the place of one
            (`num_maskmem` - 1 = 6).
        stride: steps between RAM frames; the newest is always read (`memory_temporal_stride_for_eval` = 5).
        max_pointers: bound on the distance of pointers (`max_obj_ptrs_in_encoder` = 16).
        max_prompted: prompted frames read at most, at least 2, the initial one not counted where it is none of the
            nearest; None for no limit.
        drm: frames in DRM, the initial one included (`max_cond_frames_in_attn` = 4); 1 for none but prompts.
        min_iou: a promoted frame's predicted IoU exceeds this (0.8).
        area_low: its area is at least this part of the usual area (0.8).
        area_high: and at most this (1.2).
        area_history: the usual area is taken from this many frames, the current one included (300),
        area_count: and is the median of this many of them, the newest whose mask is not empty (10).
        gap: more than this many steps lie between promotions (5).
        box_iou: promote where the box of the mask overlaps at most this much with the box of the mask and the largest
            piece of another candidate (0.7).
        geometry: measure masks at the size of the "source" or at "low-res"; None is "source" if faithful, else
            "low-res".
        slots: of RAM: by "rank", as released, or by "distance", as in SAM 2, without a search beyond the window.
        skip_empty: whether frames with an empty mask are passed over in RAM and pointers.
    """

    spec: ClassVar[PolicySpec] = PolicySpec()

    mode: Literal["corrected", "faithful"] = "corrected"
    window: int = 6
    stride: int = 5
    max_pointers: int = 16
    max_prompted: int | None = None
    drm: int = 4
    min_iou: float = 0.8
    area_low: float = 0.8
    area_high: float = 1.2
    area_history: int = 300
    area_count: int = 10
    gap: int = 5
    box_iou: float = 0.7
    geometry: Literal["source", "low-res"] | None = None
    slots: Literal["rank", "distance"] = "rank"
    skip_empty: bool = True

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, in the order they were written
    strided: dict[int, EntryId] = field(default_factory=dict, init=False)  # likewise, multiples of the stride
    promoted: dict[int, EntryId] = field(default_factory=dict, init=False)  # likewise, of the last `drm` promotions
    last_promotion: int | None = field(default=None, init=False)  # time
    areas: list[int] = field(default_factory=list, init=False)  # of tracked frames' masks, oldest first

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self)
        check_least(self, {"drm": 1, "area_history": 2, "area_count": 1, "gap": 0})

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        selected = nearest_prompts(self.prompted, visit, self.max_prompted)
        first = max(self.prompted, key=visit.distance, default=None)  # in the order of the pass
        if first is not None:
            selected.setdefault(first, self.prompted[first])
        rest = unselected(self.prompted, selected)
        settled = sorted((time for time in self.promoted if visit.distance(time) > 1), key=visit.distance)
        resolving = {time: self.promoted[time] for time in settled[: self.drm - 1]}
        recent = unselected(self.tracked, resolving) | rest
        room = max(0, self.window - len(resolving))
        if self.slots == "distance":
            ram = by_distance(recent, visit, room, self.stride)
        else:
            ram = self._by_search(recent | unselected(self.strided, resolving), visit, room)
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        pointers = pointer_items(selected | resolving, recent, visit, bound)
        return [ReadPlan((*prompt_items(selected | resolving), *ram), pointers)]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        for book in (self.tracked, self.strided, self.promoted):
            book.pop(entry.time, None)
        if entry.role == "prompted":
            self.prompted[entry.time] = entry.id
            return
        seen = self._measured(entry.logits, visit)
        if seen.any() or not self.skip_empty:
            reach = max(self.window * self.stride + 1, self.max_pointers - 1)
            note(entry, self.prompted, self.tracked, reach)
            if entry.time % self.stride == 0:
                # Beyond RAM's own there may be some that DRM has taken.
                note(entry, self.prompted, self.strided, self.window + self.drm)
        self.areas = [*self.areas, int(seen.sum())][-self.area_history :]
        if self.drm > 1 and self._is_telling(visit, records[0], seen):
            note(entry, self.prompted, self.promoted, self.drm)
            self.last_promotion = entry.time

    def live(self) -> set[EntryId]:
        books = (self.prompted, self.tracked, self.strided, self.promoted)
        return {name for book in books for name in book.values()}

    def _by_search(self, pool: dict[int, EntryId], visit: Visit, room: int) -> list[SpatialItem]:
        """The newest frame and the multiples of the stride before it, however far back."""
        past = sorted((time for time in pool if visit.distance(time) > 0), key=visit.distance)
        times = past[:1] + [time for time in past[1:] if time % self.stride == 0]
        return by_rank([pool[time] for time in times[:room]])

    def _is_telling(self, visit: Visit, record: Record, chosen: NDArray[np.bool_]) -> bool:
        """Whether this frame shows the object and a distractor apart."""
        area = self.areas[-1]
        if record.choice is None or record.candidates is None or area == 0 or len(self.areas) < 2:
            return False
        usual = median([one for one in self.areas if one][-self.area_count :])
        waited = self.last_promotion is None or visit.distance(self.last_promotion) > self.gap
        if not (record.entry.iou > self.min_iou and self.area_low <= area / usual <= self.area_high and waited):
            return False
        others = [
            self._measured(logits, visit)
            for index, logits in enumerate(record.candidates.logits)
            if index != record.choice.candidate
        ]
        return any(box_iou_with_piece(chosen, other) <= self.box_iou for other in others)

    def _measured(self, logits: Tensor, visit: Visit) -> NDArray[np.bool_]:
        """The mask at the size at which areas and boxes are measured."""
        at_source = self.geometry == "source" or (self.geometry is None and self.mode == "faithful")
        mask = enlarged(logits, visit.size) > 0 if at_source and visit.size else logits.detach() > 0
        measured: NDArray[np.bool_] = mask.cpu().numpy()
        return measured
