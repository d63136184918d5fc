"""What to look at in reconstructed masklets: suspicious frames with reasons, as a table and as a contact sheet."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trocar.formats.mask_set import frame_name
from trocar.formats.review import write_review
from trocar.formats.whole_file import whole_file
from trocar.frames import Frame, FrameSource
from trocar.masks import FrameMasks

SHEET = 24
"""How many frames a contact sheet shows at most: the most suspicious ones."""

REPEAT = 0.5
"""What a reason counts in the sheet's order each time that it has been shown before."""


@dataclass
class Flag:
    """Something about a masklet that a person may want to look at.

    Args:
        frame: where it begins.
        last: the last frame that it holds on.
        masklet: its id.
        reason: its kind, such as "merged" or "gap".
        suspicion: 0..1.
        note: a few words.
    """

    frame: int
    last: int
    masklet: int
    reason: str
    suspicion: float
    note: str = ""


def suspicions(flags: Iterable[Flag]) -> dict[int, float]:
    """Frame -> suspicion (0..1) of the frames on which something begins, as if reasons were independent, most first."""
    calm: dict[int, float] = {}
    for flag in flags:
        calm[flag.frame] = calm.get(flag.frame, 1.0) * (1 - flag.suspicion)
    return {frame: 1 - left for frame, left in sorted(calm.items(), key=lambda item: (item[1], item[0]))}


def write_flags(path: Path, flags: Iterable[Flag], source: FrameSource) -> None:
    """Write a CSV file with a line for each, the most suspicious frame first."""
    listed = list(flags)
    order = {frame: place for place, frame in enumerate(suspicions(listed))}
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("frame", "last_frame", "name", "masklet", "reason", "suspicion", "note"))
        for flag in sorted(listed, key=lambda one: (order[one.frame], -one.suspicion, one.masklet)):
            name = frame_name(source, flag.frame)
            score = f"{flag.suspicion:.2f}"
            lines.writerow((flag.frame, flag.last, name, flag.masklet, flag.reason, score, flag.note))


def write_sheet(path: Path, flags: Iterable[Flag], frames: Iterable[FrameMasks], source: FrameSource) -> None:
    """Write a contact sheet (PNG) of the most suspicious frames, each with its number and reasons.

    Frames that say what others already said come later: a sheet of one kind of doubt shows nothing of the others.

    Raises:
        ValueError: there are no flags.
    """
    listed = list(flags)
    reasons: dict[int, set[str]] = {}
    for flag in listed:
        reasons.setdefault(flag.frame, set()).add(flag.reason)
    left, shown = suspicions(listed), Counter[str]()
    chosen: dict[int, float] = {}
    while left and len(chosen) < SHEET:
        best = max(left, key=lambda frame: (left[frame] * REPEAT ** sum(shown[one] for one in reasons[frame]), -frame))
        chosen[best] = left.pop(best)
        shown.update(reasons[best])
    captions = {frame: _caption(frame, listed) for frame in chosen}
    write_review(path, frames, _Captioned(source, captions), chosen)


def _caption(frame: int, flags: Iterable[Flag]) -> str:
    said = sorted((one for one in flags if one.frame == frame), key=lambda one: -one.suspicion)
    return f"#{frame} " + ", ".join(f"{one.reason} {one.masklet}" for one in said)


class _Captioned:
    """A source whose frames are called by what is written below them."""

    def __init__(self, source: FrameSource, captions: dict[int, str]) -> None:
        self._source = source
        self.name, self.geometry, self.rate_hz = source.name, source.geometry, source.rate_hz
        self.names = captions

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Frame:
        return self._source[index]
