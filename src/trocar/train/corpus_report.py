"""What of the data was used for training and what was not, and why: as a table, as a file, and while it goes on."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

REASONS_SHOWN = 6  # of one source; all are in the file


@dataclass(frozen=True)
class Skipped:
    """A case that is left out, or used for images alone or clips alone.

    Args:
        reason: in words.
        still_for: what it is used for all the same: "images", "clips" or "".
    """

    case: str
    reason: str
    still_for: str = ""


@dataclass(frozen=True)
class SourceUse:
    """What became of one source.

    Args:
        source: its key in `[data]`.
        where: its folder and split.
        cases: how many are listed.
        images: how many are drawn from in steps on images.
        clips: how many are drawn from in steps on clips.
        frames: annotated frames of the cases that are used.
        skipped: the others, and those of half use.
    """

    source: str
    where: str
    cases: int
    images: int
    clips: int
    frames: int
    skipped: tuple[Skipped, ...] = ()

    def reasons(self) -> list[tuple[str, str, int, str]]:
        """(reason, still used for, how many, one of them), the commonest first."""
        counts = Counter((one.reason, one.still_for) for one in self.skipped)
        first = {(one.reason, one.still_for): one.case for one in reversed(self.skipped)}
        return [(*key, count, first[key]) for key, count in counts.most_common()]


def use_table(uses: Sequence[SourceUse]) -> Table:
    """What was used and skipped, for people."""
    table = Table("source", "cases", "for images", "for clips", "frames", "not used", title="training data")
    for use in uses:
        lines = [
            f"{count} {f'for {still} only' if still else 'skipped'}: {reason} ({case}{', ...' if count > 1 else ''})"
            for reason, still, count, case in use.reasons()
        ]
        more = len(lines) - REASONS_SHOWN
        shown = lines[:REASONS_SHOWN] + ([f"and {more} other reasons, see data.json"] if more > 0 else [])
        table.add_row(
            use.source, str(use.cases), str(use.images), str(use.clips), str(use.frames), "\n".join(shown) or "-"
        )
    return table


def write_use(path: Path, uses: Sequence[SourceUse]) -> None:
    """All of it as JSON, with every skipped case by name."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps([asdict(use) for use in uses], indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
