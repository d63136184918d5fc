"""The seam between the loop and a memory policy: the types that cross it.

A policy decides three things about one object: what is read from memory before a frame is decoded, which candidate
mask is taken, and what is kept. The loop (`track/propagate.py`) owns the entries and everything else. A policy never
sees the network, and it must not assume that a prompt lies on frame 0, that time runs forward, that frames are
consecutive, or that the length is known.

State: a policy keeps its state in plain attributes (numbers, strings, lists, dicts, sets, tensors), so that the loop
can copy it, write it to disk and restore it without asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from torch import Tensor

EntryId = int
Role = Literal["prompted", "tracked"]


@dataclass(frozen=True)
class Visit:
    """One stop of a pass over a source.

    Args:
        frame: index of the frame in its source; for messages and random streams, not for arithmetic.
        time: the frame's place on the axis of the visiting order; neighbours in that order differ by one.
        direction: +1 where the pass runs towards larger times, -1 where it runs back.
        length: number of frames of the source, or None where it is not known (live input).
        size: (rows, columns) of the frame in source pixels, or None where there is none but the network's square.
    """

    frame: int
    time: int
    direction: Literal[1, -1] = 1
    length: int | None = None
    size: tuple[int, int] | None = None

    def distance(self, time: int) -> int:
        """Signed steps from `time` to now in processing order: positive for the past, negative for what is to come."""
        return (self.time - time) * self.direction


@dataclass(frozen=True, eq=False)
class MemoryEntry:
    """What is remembered of one object on one frame. Made by the loop only and never changed.

    Args:
        id: its name in the policy's books.
        time: place on the axis of the visiting order.
        role: whether it answers a prompt or was tracked.
        spatial: (64, h, w) spatial memory; None if the policy wants none encoded.
        pointer: (D,) object pointer.
        logits: (s, s) low-resolution mask logits.
        iou: predicted IoU of the mask, 0..1.
        object_score: presence logit.
        present: whether the object counts as present.
        area: pixels of the low-resolution mask.
        box: (x0, y0, x1, y1) of the low-resolution mask, far edges exclusive; None where it is empty.
        feature: (D, h, w) stride-16 feature, if the policy asked for it.
        tags: the policy's own remarks, from its Choice.
        class_logits: (K,) what the network's semantic head makes of the object; None where it has no such head, or
            nothing was remembered yet.
        view: (S, S) uint8, the frame as a grey picture; None for networks that do not ask for it.
        fine: (S, S) logits of the same mask where more is known of it than `logits` can hold.
    """

    id: EntryId
    time: int
    role: Role
    spatial: Tensor | None
    pointer: Tensor
    logits: Tensor
    iou: float
    object_score: float
    present: bool
    area: int
    box: tuple[int, int, int, int] | None
    feature: Tensor | None = None
    tags: Mapping[str, float] = field(default_factory=dict)
    class_logits: Tensor | None = None
    view: Tensor | None = None
    fine: Tensor | None = None

    @property
    def finest(self) -> Tensor:
        """The mask as well as it is known: (S, S) or (s, s) logits."""
        return self.logits if self.fine is None else self.fine


@dataclass(frozen=True, eq=False)
class FrameView:
    """What a policy may look at when it reads.

    Args:
        feature: (D, h, w) stride-16 image feature of the frame.
        entries: the object's entries by id.
        rng: random stream that depends on (seed, object, direction, frame) alone.
    """

    feature: Tensor
    entries: Mapping[EntryId, MemoryEntry]
    rng: np.random.Generator


@dataclass(frozen=True)
class SpatialItem:
    """Read this entry's spatial memory.

    Args:
        entry: which one; reading it twice is legal.
        slot: temporal code: None for none, 0..6 a row of the checkpoint's table (6 prompted, 0 newest), 7 + k the k-th
            learned long-term row; where the checkpoint has no such row, the loop takes the last one that it has.
        gain: factor on its attention keys.
    """

    entry: EntryId
    slot: int | None
    gain: float = 1.0


@dataclass(frozen=True)
class PointerItem:
    """Read this entry's object pointer, coded with `distance / normaliser`."""

    entry: EntryId
    distance: float
    normaliser: float
    gain: float = 1.0


@dataclass(frozen=True)
class ReadPlan:
    """What one hypothesis attends to, in order. An empty plan means: decode from the image alone."""

    spatial: tuple[SpatialItem, ...] = ()
    pointers: tuple[PointerItem, ...] = ()


@dataclass(frozen=True, eq=False)
class Candidates:
    """What the decoder offers for one hypothesis on an unprompted frame.

    Args:
        logits: (M, s, s) low-resolution mask logits.
        iou: predicted IoU of each, M numbers in 0..1.
        object_score: presence logit, one for all.
    """

    logits: Tensor
    iou: Sequence[float]
    object_score: float


@dataclass(frozen=True)
class Choice:
    """One survivor: which candidate of which hypothesis.

    Args:
        parent: index of the hypothesis it comes from.
        candidate: index among that hypothesis' candidates.
        present: whether the object counts as present; gates mask, pointer and memory together.
        score: of the new hypothesis, for policies that keep several; the first survivor is what the user sees.
        tags: numbers to keep with the entry.
    """

    parent: int
    candidate: int
    present: bool
    score: float = 0.0
    tags: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Record:
    """A new entry and how it came about; `choice` and `candidates` are None for an answer to a prompt."""

    entry: MemoryEntry
    choice: Choice | None = None
    candidates: Candidates | None = None


@dataclass(frozen=True)
class PolicySpec:
    """What a policy asks of the loop.

    Args:
        feature: which stride-16 feature enters the memory encoder: the image's own, as in SAM 2, or the one that
            memory attention has conditioned.
        mask: "soft" probabilities or a "hard" 0/1 mask on tracked frames.
        encode: False where the spatial memory is never read.
        keep_feature: which stride-16 feature is kept with an entry.
        multimask: ask for three candidates on tracked frames, as SAM 2 does, or for the single mask.
        lag: visits by which masks are held back at most, since a later choice among hypotheses may still change them;
            None for as long as it takes, up to the end of the pass.
    """

    feature: Literal["raw", "conditioned"] = "raw"
    mask: Literal["soft", "hard"] = "soft"
    encode: bool = True
    keep_feature: Literal["none", "raw", "conditioned"] = "none"
    multimask: bool = True
    lag: int | None = 0


class MemoryPolicy(Protocol):
    """What to remember of one object. One instance serves one object.

    On a visited frame that has no prompt `read`, `choose` and `write` are called in this order, with the same visit.
    """

    @property
    def spec(self) -> PolicySpec:
        """What the policy asks of the loop; it does not change."""
        ...

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        """One plan a living hypothesis, before the frame is decoded."""
        ...

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        """The survivors among the candidates of all hypotheses, best first; never an empty list."""
        ...

    def write(self, visit: Visit, records: list[Record]) -> None:
        """Take note of new entries, one a survivor and in their order.

        The answer to a prompt comes alone. It is written when a pass begins, whichever frame it belongs to, and again
        when its frame is visited; it replaces what was kept of its time.
        """
        ...

    def live(self) -> set[EntryId]:
        """Ids that may ever be read again; the loop frees the others."""
        ...


def best_candidate(candidates: list[Candidates]) -> list[Choice]:
    """SAM 2's rule: of the first hypothesis the candidate with the largest predicted IoU; present if its score > 0."""
    first = candidates[0]
    best = max(range(len(first.iou)), key=lambda index: first.iou[index])
    return [Choice(parent=0, candidate=best, present=first.object_score > 0)]
