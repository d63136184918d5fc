"""Everything about one object: its prompts, its entries and its policy. Removing an object is deleting its Track."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trocar.memory.seam import EntryId, MemoryEntry, MemoryPolicy, Record, Visit
from trocar.model.tensors import ProjectedMemory
from trocar.prompts import Box, MaskPrompt, Point, Prompt, Scribble
from trocar.track.lineage import Lineage, Stage

SCRIBBLE_POINTS = 8  # a stroke speaks as this many clicks along it; the decoder knows clicks only


@dataclass(frozen=True)
class FramePrompt:
    """All that the user said about one object on one frame."""

    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask: NDArray[np.bool_] | None = None

    def merged(self, prompts: tuple[Prompt, ...]) -> FramePrompt:
        """With more prompts: points add up, a new box takes the old one's place, a mask takes everything's place."""
        points, box, mask = list(self.points), self.box, self.mask
        for prompt in prompts:
            match prompt:
                case Point():
                    points.append(prompt)
                case Scribble():
                    chosen = np.linspace(0, len(prompt.points) - 1, min(SCRIBBLE_POINTS, len(prompt.points)))
                    places = [prompt.points[round(index)] for index in chosen]
                    points += [Point(x, y, prompt.positive) for x, y in places]
                case Box():
                    box = prompt
                case MaskPrompt():
                    points, box, mask = [], None, prompt.mask
                    continue
            mask = None  # clicks and boxes on a mask refine it; the refined mask is the decoder's
        return FramePrompt(tuple(points), box, mask)


@dataclass(frozen=True, eq=False)
class Latest:
    """What was found of an object where it was last looked for.

    Args:
        entries: one a surviving hypothesis, best first, without what only memory needs.
        seen: the time at which it was last present.
    """

    entries: tuple[MemoryEntry, ...]
    seen: int


@dataclass
class Track:
    """One object.

    Args:
        object_id: the user's name for it.
        policy: its memory, in the state of the pass under way.
        prompts: what the user said, by frame.
        prompted: the entries that answer the prompts, by frame; tracking never overwrites them.
        entries: what the policy knows of and may read, by id.
        next_id: the next entry's id.
        lineage: frames whose masks have not been handed out yet.
        projected: the memories that were read last and what the network reads of them, by entry and by the side of the
            blocks that they were averaged over; only spares it work, and is no state.
        latest: what was found last, for frames on which nothing is looked for; None where that is done on all frames.
    """

    object_id: int
    policy: MemoryPolicy
    prompts: dict[int, FramePrompt] = field(default_factory=dict)
    prompted: dict[int, MemoryEntry] = field(default_factory=dict)
    entries: dict[EntryId, MemoryEntry] = field(default_factory=dict)
    next_id: int = 0
    lineage: Lineage = field(default_factory=Lineage)
    projected: dict[tuple[EntryId, int], tuple[Tensor, ProjectedMemory]] = field(default_factory=dict)
    latest: Latest | None = None

    def new_id(self) -> EntryId:
        self.next_id += 1
        return self.next_id - 1

    def begin(self, policy: MemoryPolicy, visit: Visit) -> None:
        """Start a pass afresh: an empty memory that is told of every prompt."""
        self.policy = policy
        self.entries, self.latest = {}, None
        self.lineage = Lineage()
        for frame in sorted(self.prompted):
            self.tell(visit, self.prompted[frame])

    def tell(self, visit: Visit, entry: MemoryEntry) -> None:
        """Let the policy know of an answered prompt: when a pass begins, and when its frame is visited."""
        self.entries[entry.id] = entry
        self.policy.write(visit, [Record(entry)])
        self.release()

    def remember(self, visit: Visit, records: list[Record]) -> None:
        """Hand new tracked entries to the policy and free what will never be read again."""
        for name, entry in self.entries.items():
            if (
                entry.fine is not None and entry.role == "tracked"
            ):  # in detail the newest and the prompted are handed on
                self.entries[name] = replace(entry, fine=None)
        self.entries.update({record.entry.id: record.entry for record in records})
        self.policy.write(visit, records)
        self.release()

    def release(self) -> None:
        keep = self.policy.live() | {entry.id for entry in self.prompted.values()}
        self.entries = {name: entry for name, entry in self.entries.items() if name in keep}

    def fork(self) -> Track:
        """An independent copy that shares the entries, which never change."""
        return Track(
            self.object_id,
            copy.deepcopy(self.policy),
            dict(self.prompts),
            dict(self.prompted),
            dict(self.entries),
            self.next_id,
            self.lineage.copy(),
            latest=self.latest,
        )

    def state(self) -> dict[str, Any]:
        """The memory as plain data and tensors, for a snapshot."""
        latest = self.latest
        return {
            **({} if latest is None else {"latest": ([entry_state(one) for one in latest.entries], latest.seen)}),
            "policy": copy.deepcopy(vars(self.policy)),
            "entries": [entry_state(entry) for entry in self.entries.values()],
            "lineage": [
                (stage.frame, [entry_state(entry) for entry in stage.entries], stage.parents)
                for stage in self.lineage.stages
            ],
        }

    def restore(self, policy: MemoryPolicy, state: dict[str, Any]) -> None:
        """Go back to a snapshot's memory; `policy` is a fresh instance of the same kind."""
        vars(policy).update(copy.deepcopy(state["policy"]))
        self.policy = policy
        self.entries = {entry["id"]: MemoryEntry(**entry) for entry in state["entries"]}
        entries, seen = state.get("latest", ((), 0))
        self.latest = Latest(tuple(MemoryEntry(**entry) for entry in entries), seen) if entries else None
        self.lineage = Lineage(
            Stage(frame, tuple(MemoryEntry(**entry) for entry in entries), parents)
            for frame, entries, parents in state["lineage"]
        )
        self.next_id = max([self.next_id, *(name + 1 for name in self.entries)])


def settled_frames(
    tracks: Mapping[int, Track], waiting: deque[int], final: bool, held: int = 0
) -> Iterator[tuple[int, dict[int, MemoryEntry]]]:
    """The frames that are settled for all objects, in the order of the pass, with their entries by object.

    Args:
        tracks: objects may come and go while frames are taken.
        waiting: frames visited whose masks have not been handed out; those that are get removed.
        final: whether the pass is over, which settles everything.
        held: how many of the newest frames wait in any case.
    """
    while len(waiting) > (0 if final else held):
        owners = [track for _, track in sorted(tracks.items()) if track.lineage.oldest == waiting[0]]
        if not final and any(not track.lineage.settled for track in owners):
            return
        yield waiting.popleft(), {track.object_id: track.lineage.take() for track in owners}


def entry_state(entry: MemoryEntry) -> dict[str, Any]:
    """An entry as plain data and tensors."""
    # Entries of one frame are views of one batch; a copy keeps a snapshot from holding its neighbours too.
    return {
        part.name: value.clone() if isinstance(value := getattr(entry, part.name), Tensor) else value
        for part in fields(MemoryEntry)
    }
