"""Masks that a later choice among hypotheses may still change, and when they are settled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trocar.memory.seam import MemoryEntry, Record


@dataclass(frozen=True, eq=False)
class Stage:
    """One visited frame of one object.

    Args:
        frame: which.
        entries: one a hypothesis, without what only memory needs; one alone if all hypotheses share it.
        parents: of each hypothesis the one it came from on the frame before; None where each came from itself.
    """

    frame: int
    entries: tuple[MemoryEntry, ...]
    parents: tuple[int, ...] | None

    def entry_of(self, hypothesis: int) -> int:
        return hypothesis if len(self.entries) > 1 else 0

    def parent_of(self, hypothesis: int) -> int:
        return hypothesis if self.parents is None else self.parents[min(hypothesis, len(self.parents) - 1)]


class Lineage:
    """The frames of one object, oldest first, whose masks have not been handed out yet.

    A frame is settled when all living hypotheses agree on it, when `lag` frames came after it (then the best
    hypothesis decides), or when the pass is over.

    Args:
        stages: oldest first.
        settled: how many of them, from the oldest on, are settled.
    """

    def __init__(self, stages: list[Stage] | None = None, settled: int = 0) -> None:
        self.stages: list[Stage] = list(stages or [])
        self.settled = settled

    def copy(self) -> Lineage:
        return Lineage(self.stages, self.settled)

    def clear(self) -> None:
        self.stages, self.settled = [], 0

    @property
    def oldest(self) -> int | None:
        """The frame that is handed out next."""
        return self.stages[0].frame if self.stages else None

    def note(self, frame: int, records: list[Record], lag: int | None) -> None:
        """Take in what was decided on the next frame: survivors, best first, or the answer to a prompt."""
        # Without lag the mask is handed out at once; else it may wait for long, and what it shares with others goes.
        entries = tuple(
            one.entry if lag == 0 else replace(one.entry, spatial=None, feature=None, logits=one.entry.logits.clone())
            for one in records
        )
        choices = [one.choice for one in records if one.choice is not None]
        self.stages.append(Stage(frame, entries, tuple(choice.parent for choice in choices) or None))
        if lag is not None and len(self.stages) > lag:
            due = len(self.stages) - 1 - lag
            self._settle(due, self._ancestor(due))
        if choices:  # after a prompt the number of hypotheses is not known before the next frame
            self._settle_where_all_agree()

    def take(self) -> MemoryEntry:
        """Hand the oldest frame's entry out; if it is not settled, that of the best hypothesis."""
        oldest = self.stages[0]
        entry = oldest.entries[oldest.entry_of(self._ancestor(0))]
        del self.stages[0]
        self.settled = max(0, self.settled - 1)
        return entry

    def _ancestor(self, stage: int) -> int:
        """The hypothesis of a stage that today's best one descends from."""
        at = 0
        for later in reversed(self.stages[stage + 1 :]):
            at = later.parent_of(at)
        return at

    def _settle_where_all_agree(self) -> None:
        alive = set(range(len(self.stages[-1].entries)))
        for index in range(len(self.stages) - 1, self.settled - 1, -1):
            if len(alive) == 1:
                self._settle(index, min(alive))
                return
            alive = {self.stages[index].parent_of(one) for one in alive}

    def _settle(self, index: int, hypothesis: int) -> None:
        """Let one hypothesis stand for a stage and for all before it."""
        for at in range(index, self.settled - 1, -1):
            stage = self.stages[at]
            entry = stage.entries[stage.entry_of(hypothesis)]
            hypothesis = stage.parent_of(hypothesis)
            self.stages[at] = Stage(stage.frame, (entry,), None)
        self.settled = max(self.settled, index + 1)
