"""A policy without a network: scripted decoder answers go in, read plans come out. For traces, diagrams and exams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    MemoryEntry,
    MemoryPolicy,
    ReadPlan,
    Record,
    Visit,
)

SIDE = 16  # of the scripted masks, in low-resolution pixels
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class Answer:
    """What the decoder says about a frame, the same for every hypothesis.

    Args:
        boxes: (x0, y0, x1, y1) of each candidate's rectangular mask, far edges exclusive; None for an empty mask.
        iou: predicted IoU of each candidate.
        score: presence logit.
    """

    boxes: Sequence[Rectangle | None] = ((4, 4, 10, 10), (4, 4, 12, 12), (2, 2, 12, 12))
    iou: Sequence[float] = (0.9, 0.5, 0.4)
    score: float = 5.0


@dataclass
class ScriptedTrack:
    """One object under one policy. Entries carry made-up memories that depend on their time alone.

    Args:
        policy: whose decisions are watched.
        feature: time -> (D, h, w) stride-16 feature of that frame.
        spatial: time -> (C, h, w) spatial memory.
        direction: of the pass.
        length: of the source.
        size: (rows, columns) of the source.
        seed: of the policy's random draws.
    """

    policy: MemoryPolicy
    feature: Callable[[int], Tensor] = field(default=lambda time: made_up(time, 8))
    spatial: Callable[[int], Tensor] = field(default=lambda time: made_up(time, 4))
    direction: Literal[1, -1] = 1
    length: int | None = None
    size: tuple[int, int] = (SIDE, SIDE)
    seed: int = 0
    entries: dict[EntryId, MemoryEntry] = field(default_factory=dict)
    times: dict[EntryId, int] = field(default_factory=dict)  # of every entry ever made, freed ones too

    def prompt(self, time: int, box: Rectangle | None = (4, 4, 10, 10)) -> None:
        """Answer a prompt on a frame and tell the policy of it, as when its frame is visited."""
        masks = drawn([box])
        choice = Choice(0, 0, present=box is not None)
        made = self._entry(time, "prompted", Candidates(masks, [1.0], 10.0), choice)
        self.policy.write(self.at(time), [Record(made)])
        self._free()

    def read(self, time: int) -> list[ReadPlan]:
        """What the policy would read on a frame."""
        rng = np.random.default_rng((self.seed, time))
        return self.policy.read(self.at(time), FrameView(self.feature(time), self.entries, rng))

    def visit(self, time: int, answer: Answer | None = None) -> list[ReadPlan]:
        """Visit an unprompted frame: read, choose, write. Returns what was read."""
        answer = answer or Answer()
        plans = self.read(time)
        single = not self.policy.spec.multimask
        count = 1 if single else len(answer.boxes)
        offered = Candidates(drawn(answer.boxes[:count]), list(answer.iou[:count]), answer.score)
        choices = self.policy.choose(self.at(time), [offered] * len(plans))
        records = [Record(self._entry(time, "tracked", offered, choice), choice, offered) for choice in choices]
        self.policy.write(self.at(time), records)
        self._free()
        return plans

    def run(self, times: Sequence[int], answers: Mapping[int, Answer] | None = None) -> list[ReadPlan]:
        """Visit frames in turn, with `answers` to those that are not answered as usual; returns the last plans."""
        plans: list[ReadPlan] = []
        for time in times:
            plans = self.visit(time, (answers or {}).get(time))
        return plans

    def slots(self, plan: ReadPlan) -> list[tuple[int, int | None]]:
        """(time, slot) of the spatial items of a plan, in their order."""
        return [(self.times[item.entry], item.slot) for item in plan.spatial]

    def pointers(self, plan: ReadPlan) -> list[tuple[int, float]]:
        """(time, distance) of the pointer items of a plan, in their order."""
        return [(self.times[item.entry], item.distance) for item in plan.pointers]

    def at(self, time: int) -> Visit:
        return Visit(time, time, self.direction, self.length, self.size)

    def _entry(
        self, time: int, role: Literal["prompted", "tracked"], offered: Candidates, choice: Choice
    ) -> MemoryEntry:
        logits = offered.logits[choice.candidate] if choice.present else torch.full((SIDE, SIDE), -1024.0)
        mask = (logits > 0).numpy()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1) if len(rows) else None
        made = MemoryEntry(
            id=len(self.times),
            time=time,
            role=role,
            spatial=self.spatial(time),
            pointer=self.feature(time).mean(dim=(1, 2)),
            logits=logits,
            iou=float(offered.iou[choice.candidate]),
            object_score=offered.object_score,
            present=choice.present,
            area=int(mask.sum()),
            box=box,
            feature=None if self.policy.spec.keep_feature == "none" else self.feature(time),
            tags=choice.tags,
        )
        self.entries[made.id] = made
        self.times[made.id] = time
        return made

    def _free(self) -> None:
        keep = self.policy.live() | {name for name, entry in self.entries.items() if entry.role == "prompted"}
        self.entries = {name: entry for name, entry in self.entries.items() if name in keep}


def drawn(boxes: Sequence[Rectangle | None]) -> Tensor:
    """(M, SIDE, SIDE) logits: 8 inside each rectangle, -8 outside."""
    logits = torch.full((len(boxes), SIDE, SIDE), -8.0)
    for index, box in enumerate(boxes):
        if box is not None:
            x0, y0, x1, y1 = box
            logits[index, y0:y1, x0:x1] = 8.0
    return logits


def made_up(time: int, channels: int, side: int = 2) -> Tensor:
    """A (channels, side, side) map that depends on the time alone, different for every time."""
    rng = np.random.default_rng((time + 1_000_000, channels))
    return torch.from_numpy(rng.standard_normal((channels, side, side)).astype(np.float32))
