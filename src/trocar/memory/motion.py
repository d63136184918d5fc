"""`motion`: SAMURAI's motion-aware choice and memory (Yang et al. 2024 and the released code).

A Kalman filter follows the object's box. Once it has been stable for a while, the candidate is chosen by predicted IoU
and overlap with the predicted box together. Read: every prompted frame (slot 6); the newest frame and the latest that
qualify by predicted IoU, object score and motion score, six together (slots by rank); SAM 2's pointers. Kept: prompted
frames, those whose pointers may be read, and as many qualified ones.

Differs from the release in `corrected` mode (the default): one filter per object and pass; boxes in source pixels, so
that the stretch to a square does not distort them (where the size is not known, in low-resolution pixels); every
frame after the first prompt may qualify, where the release never takes frame 1; while the object is absent the filter
only predicts, where the release may feed it a box at the origin; a prompt starts the filter anew when its frame is
visited; prompts anywhere, either direction; in a gap of up to `stable_frames` steps one prediction a step, after a
longer one, or a step back, the filter starts anew.

In both modes absence follows `min_object_score`; the release also adds its embedding of absence to memory between that
and 0. `faithful` takes the prompt for a box or mask: a single click starts the release's filter on the prompt itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor

from trocar.memory.bounds import check_choices, check_least, check_window
from trocar.memory.boxes import Box, box_iou, enlarged_box
from trocar.memory.kalman import box_of, initiate, predict, update
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
    by_rank,
    nearest_prompts,
    note,
    pointer_bound,
    pointer_items,
    prompt_items,
    unselected,
)

MOTION = "motion"  # tag: overlap of the chosen mask's box with the predicted one
INPUT_SCALE = 4  # how many times larger the network's input is than its low-resolution masks
NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(eq=False)
class Motion:
    """SAMURAI.

    Neutral, that is equal to `recent`: motion_weight=0, min_object_score=0, memory_min_iou=-1,
    memory_min_score=-inf, slots="distance".

    Args:
        mode: "corrected" or "faithful", see above.
        window: frames read besides the prompted ones (`num_maskmem` - 1 = 6).
        max_pointers: bound on the distance of pointers (`max_obj_ptrs_in_encoder` = 16).
        max_prompted: prompted frames read at most, at least 2; None for no limit (`max_cond_frames_in_attn` = -1).
        motion_weight: share of the motion score in the choice, the rest is predicted IoU (`kf_score_weight`): 0.25 in
            three of the release's four configurations, 0.15 in its code and its large one; 0 switches the filter off.
        stable_frames: stable frames before motion has a say (`stable_frames_threshold`).
        stable_iou: predicted IoU below which a frame is not stable (`stable_ious_threshold`).
        min_object_score: an object is present above this presence logit (`min_obj_score_logits`; SAM 2: 0).
        memory_min_iou: a frame qualifies above this predicted IoU (`memory_bank_iou_threshold`).
        memory_min_score: and above this presence logit (`memory_bank_obj_score_threshold`).
        memory_min_motion: and above this motion score, if it has one (`memory_bank_kf_score_threshold`).
        slots: by "rank", as released, or by "distance", as in SAM 2: then older frames than `window` are not read.
    """

    spec: ClassVar[PolicySpec] = PolicySpec()

    mode: Literal["corrected", "faithful"] = "corrected"
    window: int = 6
    max_pointers: int = 16
    max_prompted: int | None = None
    motion_weight: float = 0.25
    stable_frames: int = 15
    stable_iou: float = 0.3
    min_object_score: float = -1.0
    memory_min_iou: float = 0.5
    memory_min_score: float = 0.0
    memory_min_motion: float = 0.0
    slots: Literal["rank", "distance"] = "rank"

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time, in the order they were written
    qualified: dict[int, EntryId] = field(default_factory=dict, init=False)  # likewise, of those that qualify
    state: tuple[Tensor, Tensor] | None = field(default=None, init=False)  # the filter's mean and covariance
    state_time: int = field(default=0, init=False)
    stable: int = field(default=0, init=False)  # stable frames in a row, up to `stable_frames`

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self)
        check_least(self, {"stable_frames": 1})
        if not 0 <= self.motion_weight <= 1:
            raise ValueError(f"motion_weight is a share from 0 to 1, not {self.motion_weight}")

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        selected = nearest_prompts(self.prompted, visit, self.max_prompted)
        rest = unselected(self.prompted, selected)
        past = sorted((time for time in self.tracked if visit.distance(time) > 0), key=visit.distance)
        recent = self.qualified | {time: self.tracked[time] for time in past[:1]} | rest
        items = by_distance(recent, visit, self.window)
        if self.slots == "rank":
            times = sorted((time for time in recent if visit.distance(time) > 0), key=visit.distance)
            items = by_rank([recent[time] for time in times[: self.window]])
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        pointers = pointer_items(selected, self.tracked | rest, visit, bound)
        return [ReadPlan(tuple(prompt_items(selected) + items), pointers)]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        offered = candidates[0]
        present = offered.object_score > self.min_object_score
        predicted = self._predicted(visit)
        if predicted is None or self.stable < self.stable_frames:
            return [Choice(0, best_candidate(candidates)[0].candidate, present)]
        expected, weight = box_of(predicted[0]), self.motion_weight
        boxes = [(self._box(logits, visit) if present else None) or NOWHERE for logits in offered.logits]
        motion = [box_iou(expected, box) for box in boxes]
        score = [weight * overlap + (1 - weight) * iou for overlap, iou in zip(motion, offered.iou, strict=True)]
        best = max(range(len(score)), key=score.__getitem__)
        return [Choice(0, best, present, tags={MOTION: motion[best]})]

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        reach = max(self.window + 1, self.max_pointers - 1)
        note(entry, self.prompted, self.tracked, reach)
        self.qualified.pop(entry.time, None)
        if entry.role == "tracked" and self._qualifies(entry):
            note(entry, self.prompted, self.qualified, reach)
        if self.motion_weight > 0:
            self._follow(visit, entry)

    def live(self) -> set[EntryId]:
        return {*self.prompted.values(), *self.tracked.values(), *self.qualified.values()}

    def _qualifies(self, entry: MemoryEntry) -> bool:
        return (
            entry.iou > self.memory_min_iou
            and entry.object_score > self.memory_min_score
            and entry.tags.get(MOTION, math.inf) > self.memory_min_motion
            and (self.mode == "corrected" or entry.time > 1)  # the release's search stops before frame 1
        )

    def _follow(self, visit: Visit, entry: MemoryEntry) -> None:
        if entry.role == "prompted":
            if self.mode == "corrected" and visit.time == entry.time:
                self._start(visit, self._box(entry.logits, visit))
            return
        box, predicted = self._box(entry.logits, visit), self._predicted(visit)
        if predicted is None:
            self._start(visit, box)
            return
        self.state, self.state_time = predicted, visit.time
        warming = self.stable < self.stable_frames
        if entry.iou < self.stable_iou or (warming and entry.iou == self.stable_iou):
            self.stable = 0
        elif box is not None:
            self.state = update(*predicted, box)
            self.stable += int(warming)

    def _start(self, visit: Visit, box: Box | None) -> None:
        self.state, self.state_time = None if box is None else initiate(box), visit.time
        self.stable = int(box is not None)

    def _predicted(self, visit: Visit) -> tuple[Tensor, Tensor] | None:
        """The filter's state now; None where it has to start."""
        steps = visit.distance(self.state_time)
        if self.state is None or self.stable == 0 or not 1 <= steps <= self.stable_frames:
            return None
        return predict(*self.state, steps)

    def _box(self, logits: Tensor, visit: Visit) -> Box | None:
        """Box of an (s, s) mask as large as the network's input, in source pixels; faithful: in the input's."""
        box = enlarged_box(logits, INPUT_SCALE)
        if box is None:
            return NOWHERE if self.mode == "faithful" else None
        x0, y0, x1, y1 = box
        if self.mode == "faithful":  # the release measures from the first to the last pixel
            return x0, y0, x1 - 1, y1 - 1
        size, side = visit.size or logits.shape, INPUT_SCALE * logits.shape[-1]
        down, across = size[0] / side, size[1] / side
        return x0 * across, y0 * down, x1 * across, y1 * down
