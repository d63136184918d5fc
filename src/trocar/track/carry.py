"""Frames on which an object is not looked for: its mask is carried there along the motion, or it stays absent.

Memory does not learn of such frames, and whatever a mask is carried from was looked for in full, so that nothing adds
up: each carried mask is one motion away from a tracked one or a prompt. What an object does depends on itself alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.memory.seam import Choice, MemoryEntry, Record, Visit
from trocar.model.motion import Search, moved_masks
from trocar.model.tensors import ImageFeatures
from trocar.track.economy import Economy
from trocar.track.entries import extents
from trocar.track.track import Latest, Track

FROM_LAST = Search(stride=2, window=9, tolerated=0, scale=12)
NEAR = 2  # cells of a mask on either side of its border, on which it is judged whether the motion can be trusted


def carried(track: Track, visit: Visit, view: Callable[[int], Tensor], economy: Economy) -> list[Record] | None:
    """What an object is on a frame on which it is not looked for; None where it has to be.

    Args:
        track: the object.
        visit: of the frame.
        view: a frame as a small grey picture, by its number.
        economy: what may be spared.
    """
    latest = track.latest
    if latest is None:
        return None
    shown = [entry for entry in latest.entries if entry.area]
    if not shown:  # absent, or nowhere to be seen
        return None if economy.absent_on_grid(visit, latest.seen) else _records(visit, latest.entries)
    if economy.on_grid(visit.frame) or economy.trust >= 1 or any(entry.view is None for entry in shown):
        return None
    moved = _moved(shown, view(visit.frame), economy.trust)
    if moved is None:
        return None
    waiting = iter(moved)
    return _records(visit, [next(waiting) if entry.area else entry for entry in latest.entries])


def _moved(entries: Sequence[MemoryEntry], now: Tensor, trust: float) -> list[MemoryEntry] | None:
    """Entries with their masks where their pixels went; None where that is not to be trusted."""
    fine = all(entry.fine is not None for entry in entries)
    logits = torch.stack([entry.finest if fine else entry.logits for entry in entries])[:, None]
    then = [entry.view for entry in entries if entry.view is not None]
    moved, sure = moved_masks(logits, then, [now] * len(entries), FROM_LAST)
    size = entries[0].logits.shape
    low, sure_low = (F.interpolate(one, size=size, mode="area") for one in (moved, sure))
    found = []
    for number, (entry, (area, box)) in enumerate(zip(entries, extents(low[:, 0]), strict=True)):
        trusted = float(_around_outline(sure_low[number], low[number] > 0).mean()) if area else 0.0
        if trusted < trust:
            return None
        here = replace(entry, logits=low[number, 0].to(entry.logits.dtype), iou=entry.iou * trusted, area=area, box=box)
        found.append(replace(here, fine=moved[number, 0].half() if fine else None))
    return found


def _around_outline(values: Tensor, mask: Tensor) -> Tensor:
    """Those of (1, s, s) values that lie near the border of a mask: deep inside, wet tissue and steel glitter."""
    inside = mask.float()
    grown, shrunk = (sign * F.max_pool2d(sign * inside, 2 * NEAR + 1, 1, NEAR) for sign in (1, -1))
    near = values[grown > shrunk]
    return near if len(near) else values  # a mask that fills the picture has no border


def _records(visit: Visit, entries: Sequence[MemoryEntry]) -> list[Record]:
    """As survivors of the hypotheses that they are."""
    return [
        Record(
            replace(entry, time=visit.time, role="tracked", view=None),
            Choice(parent=number, candidate=0, present=entry.present),
        )
        for number, entry in enumerate(entries)
    ]


def note_latest(track: Track, visit: Visit, entries: Sequence[MemoryEntry]) -> None:
    """Keep what was found on a frame on which the object was looked for or prompted."""
    alone = tuple(replace(entry, spatial=None, feature=None) for entry in entries)
    seen = visit.time if alone[0].present or track.latest is None else track.latest.seen
    track.latest = Latest(alone, seen)


def view_of(features: Callable[[int], ImageFeatures]) -> Callable[[int], Tensor]:
    """What shows a frame as a small grey picture without encoding it.

    Raises:
        ValueError: these features cannot.
    """
    view: Callable[[int], Tensor] | None = getattr(features, "view", None)
    if view is None:
        raise ValueError(
            "this economy leaves frames out, for which the features need a method view(frame) as `Features` has: "
            "leave `encode_every` and `absent_every` at 1, or let the session make its own features"
        )
    return view
