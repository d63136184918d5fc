"""Masks that a later choice among hypotheses may still change, and when they are settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from trocar.memory.seam import MemoryEntry, Record


@dataclass(frozen=True, eq=False)
class Stage:
    """One visited frame of one object.

    Args:
        frame: which.
        entries: one a hypothesis that still has descendants, best first, without what only memory needs.
        parents: of each of them, its parent's index among the entries of the frame before.
    """

    frame: int
    entries: tuple[MemoryEntry, ...]
    parents: tuple[int, ...]

    def only(self, alive: Iterable[int]) -> Stage:
        """With these hypotheses alone."""
        kept = tuple(alive)
        return Stage(self.frame, tuple(self.entries[one] for one in kept), tuple(self.parents[one] for one in kept))


class Lineage:
    """The frames of one object, oldest first, whose masks have not been handed out yet.

    A frame is settled when all living hypotheses agree on it, when `lag` frames came after it (then the best
    hypothesis decides), or when the pass is over. Hypotheses without descendants are dropped at once, so that a frame
    is looked at again only when one of its hypotheses has died.

    Args:
        stages: oldest first.
    """

    def __init__(self, stages: Iterable[Stage] = ()) -> None:
        self.stages: deque[Stage] = deque(stages)

    def copy(self) -> Lineage:
        return Lineage(self.stages)

    def clear(self) -> None:
        self.stages.clear()

    @property
    def oldest(self) -> int | None:
        """The frame that is handed out next."""
        return self.stages[0].frame if self.stages else None

    @property
    def settled(self) -> bool:
        """Whether that frame's mask will not change any more."""
        return bool(self.stages) and len({entry.id for entry in self.stages[0].entries}) == 1

    def note(self, frame: int, records: list[Record], lag: int | None) -> None:
        """Take in what was decided on the next frame: survivors, best first, or the answer to a prompt."""
        known = len(self.stages[-1].entries) if self.stages else 1
        entries = tuple(one.entry if lag == 0 else _mask_alone(one.entry) for one in records)
        choices = [one.choice for one in records if one.choice is not None]
        # Past the frames that have been handed out or settled, whose child a hypothesis is no longer matters.
        parents = tuple(min(choice.parent, known - 1) for choice in choices)
        if not choices:  # all hypotheses go on and share the answer
            entries, parents = entries * known, tuple(range(known))
        self.stages.append(Stage(frame, entries, parents))
        self._bury(len(self.stages) - 1)
        if lag is not None and len(self.stages) > lag:
            self._settle(len(self.stages) - 1 - lag)

    def amend(self, frame: int, entry: MemoryEntry) -> None:
        """Show something else on a frame that waits, or on one before the object's first frame."""
        for index, stage in enumerate(self.stages):
            if stage.frame == frame:
                self.stages[index] = replace(stage, entries=(entry,) * len(stage.entries))
                return
        self.note(frame, [Record(entry)], lag=0)

    def take(self) -> MemoryEntry:
        """Hand the oldest frame's entry out; if it is not settled, the best hypothesis decides all frames."""
        if not self.settled:
            self._settle(len(self.stages) - 1)
        return self.stages.popleft().entries[0]

    def _settle(self, index: int) -> None:
        """Let the best hypothesis decide a stage and all before it."""
        best = 0
        for later in range(len(self.stages) - 1, index, -1):
            best = self.stages[later].parents[best]
        if index + 1 < len(self.stages):
            following = self.stages[index + 1]
            self.stages[index + 1] = replace(following, parents=(0,) * len(following.parents))
        self.stages[index] = self.stages[index].only([best])
        self._bury(index)

    def _bury(self, index: int) -> None:
        """Drop the hypotheses before a stage that have no child left."""
        for at in range(index, 0, -1):
            stage, before = self.stages[at], self.stages[at - 1]
            alive = sorted(set(stage.parents))
            if len(alive) == len(before.entries):
                return
            self.stages[at] = replace(stage, parents=tuple(alive.index(parent) for parent in stage.parents))
            self.stages[at - 1] = before.only(alive)


def _mask_alone(entry: MemoryEntry) -> MemoryEntry:
    """An entry that may wait for long, without what only memory needs and without the batch that it is a view of."""
    classes = None if entry.class_logits is None else entry.class_logits.clone()
    alone = replace(entry, spatial=None, feature=None, logits=entry.logits.clone(), pointer=entry.pointer.clone())
    return replace(alone, class_logits=classes)
