"""What most policies share: SAM 2's window over recent frames, its prompts and its pointers (Ravi et al. 2024, 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trocar.memory.seam import EntryId, MemoryEntry, PointerItem, SpatialItem, Visit

PROMPTED_SLOT = 6  # row of the temporal codes that prompted frames share; rows 0 to 5 are the recent frames'


def nearest_prompts(prompted: Mapping[int, EntryId], visit: Visit, limit: int | None) -> dict[int, EntryId]:
    """All prompts by time, or under a limit: the nearest before now, the nearest from now on, then by distance."""
    if limit is None or len(prompted) <= limit:
        return dict(prompted)
    before = [time for time in prompted if time < visit.time]
    after = [time for time in prompted if time >= visit.time]
    chosen = ([max(before)] if before else []) + ([min(after)] if after else [])
    rest = sorted((abs(time - visit.time), time) for time in prompted if time not in chosen)
    chosen += [time for _, time in rest[: limit - len(chosen)]]
    return {time: prompted[time] for time in chosen}


def prompt_items(selected: Mapping[int, EntryId]) -> list[SpatialItem]:
    """Spatial items of prompted frames: they share one slot."""
    return [SpatialItem(entry, PROMPTED_SLOT) for entry in selected.values()]


def by_distance(entries: Mapping[int, EntryId], visit: Visit, window: int, stride: int = 1) -> list[SpatialItem]:
    """The recent frames, oldest first, each with the slot of its distance; a missing frame leaves its slot unused.

    Args:
        entries: by time.
        visit: now.
        window: how many slots, up to 6.
        stride: steps between the frames; the newest is always t - 1, the others are multiples of the stride.
    """
    towards = visit.direction
    newest = visit.time - towards
    before = newest - towards
    # Multiples of the stride on the time axis, on the far side of `before` as seen from now.
    anchor = before // stride * stride if towards > 0 else -(-before // stride) * stride
    times = [newest, *(anchor - towards * stride * index for index in range(window - 1))][:window]
    return [SpatialItem(entries[times[slot]], slot) for slot in reversed(range(window)) if times[slot] in entries]


def by_rank(newest_first: Sequence[EntryId]) -> list[SpatialItem]:
    """The given entries, oldest first, with slots by rank: the newest gets 0, however long ago it was."""
    return [SpatialItem(entry, slot) for slot, entry in reversed(list(enumerate(newest_first)))]


def pointer_bound(visit: Visit, limit: int, mode: str) -> int:
    """SAM 2 bounds pointers by the length of a short source; `corrected` does not, so that live input agrees."""
    return min(limit, visit.length) if mode == "faithful" and visit.length is not None else limit


def pointer_items(
    selected: Mapping[int, EntryId], others: Mapping[int, EntryId], visit: Visit, bound: int
) -> tuple[PointerItem, ...]:
    """Pointers of the prompts met so far, then of the frames at distance 1 to bound - 1, coded by distance.

    Args:
        selected: prompts, by time; those that are still to come give no pointer.
        others: further entries, by time.
        visit: now.
        bound: see `pointer_bound`; below 2 there are no pointers.
    """
    if bound < 2:
        return ()
    found = [(entry, visit.distance(time)) for time, entry in selected.items() if visit.distance(time) >= 0]
    near = (visit.time - visit.direction * distance for distance in range(1, bound))
    found += [(others[time], visit.distance(time)) for time in near if time in others]
    return tuple(PointerItem(entry, distance, bound - 1) for entry, distance in found)


def unselected(prompted: Mapping[int, EntryId], selected: Iterable[int]) -> dict[int, EntryId]:
    """Prompts that were not selected; they count as recent frames."""
    chosen = set(selected)
    return {time: entry for time, entry in prompted.items() if time not in chosen}


def note(entry: MemoryEntry, prompted: dict[int, EntryId], tracked: dict[int, EntryId], reach: int) -> None:
    """Enter a new entry in the books; of tracked ones the `reach` written last stay.

    Args:
        prompted: by time; all stay.
        tracked: by time, in the order they were written.
    """
    tracked.pop(entry.time, None)
    if entry.role == "prompted":
        prompted[entry.time] = entry.id
        return
    tracked[entry.time] = entry.id
    while len(tracked) > reach:
        del tracked[next(iter(tracked))]
