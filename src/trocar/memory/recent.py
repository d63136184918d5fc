"""`recent`: SAM 2's own memory (Ravi et al. 2024, section 4 and the released predictor).

Read: every prompted frame (slot 6), the six most recent frames at their distance (slot 0 newest .. 5), and the
pointers of the prompted frames met so far and of up to 15 recent frames. Kept: all prompted frames, and as many recent
frames as may be read again.

Differs from the release in `corrected` mode (the default): pointer codes do not depend on the length of the source
when it is shorter than 16 frames, so that live input and files agree. (That a correction counts as a prompt and is
kept is the loop's doing, for every policy.)
"""

from __future__ import annotations

from typing import Literal

from trocar.memory.seam import (
    Candidates,
    Choice,
    EncodeSpec,
    EntryId,
    FrameView,
    PointerItem,
    ReadPlan,
    Record,
    SpatialItem,
    Visit,
    best_candidate,
)

PROMPTED_SLOT = 6


class Recent:
    """SAM 2's window.

    Args:
        mode: "corrected" or "faithful", see above.
        window: recent frames read (SAM 2: 6).
        stride: steps between them; the newest is always read.
        max_pointers: bound on the distance of pointers (SAM 2: 16).
        max_prompted: prompted frames read at most, at least 2; None for no limit, as released.
    """

    spec = EncodeSpec()

    def __init__(
        self,
        mode: Literal["corrected", "faithful"] = "corrected",
        window: int = 6,
        stride: int = 1,
        max_pointers: int = 16,
        max_prompted: int | None = None,
    ) -> None:
        if mode not in ("corrected", "faithful"):
            raise ValueError(f"mode is 'corrected' or 'faithful', not {mode!r}")
        if not 0 <= window <= PROMPTED_SLOT or stride < 1 or max_pointers < 2:
            raise ValueError("recent needs 0 <= window <= 6, stride >= 1 and max_pointers >= 2")
        if max_prompted is not None and max_prompted < 2:
            raise ValueError("max_prompted is at least 2 (one before and one after), or None for no limit")
        self.mode = mode
        self.window = window
        self.stride = stride
        self.max_pointers = max_pointers
        self.max_prompted = max_prompted
        self.prompted: dict[int, EntryId] = {}  # by time
        self.tracked: dict[int, EntryId] = {}  # by time, in the order they were written

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        selected = self._selected_prompts(visit)
        others = self.tracked | {time: entry for time, entry in self.prompted.items() if time not in selected}
        spatial = [SpatialItem(entry, PROMPTED_SLOT) for entry in selected.values()]
        times = self._window_times(visit)
        spatial += [
            SpatialItem(others[times[slot]], slot) for slot in reversed(range(self.window)) if times[slot] in others
        ]
        bound = self.max_pointers
        if self.mode == "faithful" and visit.length is not None:
            bound = min(bound, visit.length)
        pointers = [(entry, visit.distance(time)) for time, entry in selected.items() if visit.distance(time) >= 0]
        near = (visit.time - visit.direction * distance for distance in range(1, bound))
        pointers += [(others[time], visit.distance(time)) for time in near if time in others]
        items = tuple(PointerItem(entry, distance, max(bound - 1, 1)) for entry, distance in pointers)
        return [ReadPlan(tuple(spatial), items)]

    def choose(self, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        if entry.role == "prompted":
            self.prompted[entry.time] = entry.id
            self.tracked.pop(entry.time, None)
            return
        self.tracked.pop(entry.time, None)
        self.tracked[entry.time] = entry.id
        reach = max(self.window * self.stride + 1, self.max_pointers - 1)
        while len(self.tracked) > reach:
            del self.tracked[next(iter(self.tracked))]

    def live(self) -> set[EntryId]:
        return set(self.prompted.values()) | set(self.tracked.values())

    def _window_times(self, visit: Visit) -> list[int]:
        """The time that belongs to each slot, newest first: t-1, then the multiples of the stride before it."""
        step, towards = self.stride, visit.direction
        newest = visit.time - towards
        before = newest - towards
        # Multiples of the stride on the time axis, on the far side of `before` as seen from now.
        anchor = before // step * step if towards > 0 else -(-before // step) * step
        return [newest, *(anchor - towards * step * index for index in range(PROMPTED_SLOT - 1))]

    def _selected_prompts(self, visit: Visit) -> dict[int, EntryId]:
        """All prompts, or under a limit: the nearest before now, the nearest from now on, then by distance."""
        if self.max_prompted is None or len(self.prompted) <= self.max_prompted:
            return dict(self.prompted)
        before = [time for time in self.prompted if time < visit.time]
        after = [time for time in self.prompted if time >= visit.time]
        chosen = ([max(before)] if before else []) + ([min(after)] if after else [])
        rest = sorted((abs(time - visit.time), time) for time in self.prompted if time not in chosen)
        chosen += [time for _, time in rest[: self.max_prompted - len(chosen)]]
        return {time: self.prompted[time] for time in chosen}
