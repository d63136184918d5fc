"""Diverse long-term memory: how alike two memories are, who is a candidate, and which candidate is kept.

SAM2S's DiveMem and ReSurgSAM2's long-term memory share candidates and queue; frame pruning measures similarity too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from trocar.memory.seam import EntryId, MemoryEntry, Visit

Part = Literal["feature", "spatial"]
Similarity = Literal["flat", "pooled", "cells", "width"]
Streak = Literal["consecutive", "unbroken", "any"]

#: The axes of (N, C, h, w) maps along which vectors run.
SUMMED: Mapping[Similarity, tuple[int, ...]] = {"flat": (1, 2, 3), "pooled": (1,), "cells": (1,), "width": (3,)}
SHORTEST = 1e-8  # the least product of two lengths that is divided by: an empty vector is like nothing


def cosines(entries: Sequence[MemoryEntry], reference: MemoryEntry, part: Part, similarity: Similarity) -> list[float]:
    """How alike each entry and the reference are, -1 to 1.

    Args:
        entries: at least one.
        reference: what they are compared with.
        part: the "feature" (D, h, w) or the "spatial" memory (C, h, w) of them.
        similarity: cosine of the maps as one vector each ("flat"), of their means over all cells ("pooled"), of the
            channels of a cell, averaged over cells ("cells"), or of a row's values in a channel, averaged over rows
            and channels ("width").

    Raises:
        ValueError: an entry lacks that part.
    """
    maps = torch.stack([_map(entry, part) for entry in entries])
    other = _map(reference, part)[None]
    if similarity == "pooled":
        maps, other = maps.mean(dim=(2, 3), keepdim=True), other.mean(dim=(2, 3), keepdim=True)
    over = SUMMED[similarity]
    # Written out, for torch's own cosine_similarity costs several times as much on a CPU.
    lengths = maps.square().sum(over).sqrt() * other.square().sum(over).sqrt()
    values = ((maps * other).sum(over) / lengths.clamp_min(SHORTEST)).reshape(len(maps), -1).mean(dim=1)
    found: list[float] = values.tolist()
    return found


def _map(entry: MemoryEntry, part: Part) -> Tensor:
    found = entry.feature if part == "feature" else entry.spatial
    if found is None:
        raise ValueError(f"the entry of time {entry.time} has no {part} to compare: let the policy's spec ask for it")
    return found.detach().float()


def consider(entry: MemoryEntry, visit: Visit, candidates: dict[int, EntryId], good: bool, streak: Streak) -> None:
    """Let a good tracked frame join the candidates.

    Args:
        entry: of the frame.
        visit: of the frame.
        candidates: by time, in the order they joined.
        good: whether the frame is good enough.
        streak: what starts the candidates anew: a bad frame or a step in time without a good one ("consecutive"), a
            bad frame ("unbroken"), or nothing ("any").
    """
    gap = bool(candidates) and visit.distance(next(reversed(candidates))) != 1
    if (streak != "any" and not good) or (streak == "consecutive" and gap):
        candidates.clear()
    if good:
        candidates[entry.time] = entry.id


def promote(candidates: dict[int, EntryId], queue: dict[int, EntryId], room: int, alike: Sequence[float]) -> None:
    """Move the candidate that is least like the newest long-term entry to the queue; the other candidates go.

    Args:
        candidates: by time.
        queue: long-term entries by time, oldest first; the oldest leaves where there are more than `room`.
        room: of the queue.
        alike: of each candidate and the newest long-term entry; of equals the first is taken.
    """
    time = list(candidates)[min(range(len(alike)), key=lambda index: alike[index])]
    queue[time] = candidates[time]
    candidates.clear()
    while len(queue) > room:
        del queue[next(iter(queue))]


def entries_of(ids: Mapping[int, EntryId], entries: Mapping[EntryId, MemoryEntry]) -> list[MemoryEntry]:
    """The entries with these ids, in their order."""
    return [entries[name] for name in ids.values()]
