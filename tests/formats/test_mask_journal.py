"""The journal of masks: the same file however a run came about, and no memory that grows with it."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np

from trocar.formats.rle import MaskJournal
from trocar.frames import Frame
from trocar.geometry import Geometry
from trocar.masks import FrameMasks

SIZE = (6, 9)


class Blank:
    """A long source of nothing."""

    name, geometry, rate_hz = "blank", Geometry(SIZE), None

    def __init__(self, frames: int) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> Frame:
        return Frame(index, np.zeros((*SIZE, 3), np.uint8))


def masks_at(frame: int) -> FrameMasks:
    mask = np.zeros(SIZE, np.bool_)
    mask[frame % 5, frame % 7 :] = True
    return FrameMasks(frame, {1: mask})


def journal_of(path: Path, frames: list[int], cut: int | None = None) -> bytes:
    """The finished journal of frames in this order; after `cut` of them the process was gone, and another went on."""
    journal = MaskJournal(path, Blank(12))
    for count, frame in enumerate(frames):
        if count == cut:
            journal.close()
            journal = MaskJournal(path, Blank(12))
        journal.append(masks_at(frame))
    journal.finish()
    assert [path.name for path in path.parent.iterdir()] == [path.name]
    return path.read_bytes()


def test_a_finished_journal_is_the_same_however_it_came_about(tmp_path: Path) -> None:
    plain = journal_of(tmp_path / "a" / "j.jsonl", list(range(12)))
    assert journal_of(tmp_path / "b" / "j.jsonl", list(range(12)), cut=5) == plain
    assert journal_of(tmp_path / "c" / "j.jsonl", [*range(9), *range(6, 12)], cut=9) == plain  # the last few again
    assert journal_of(tmp_path / "d" / "j.jsonl", [*range(4, 12), 3, 2, 1, 0]) == plain  # back from where it began
    assert [one.frame for one in MaskJournal(tmp_path / "d" / "j.jsonl", Blank(12))] == list(range(12))


def test_memory_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    journal = MaskJournal(tmp_path / "j.jsonl", Blank(100_000))
    tracemalloc.start()
    held = []
    for frame in range(3000):
        journal.append(masks_at(frame))
        if frame % 1000 == 999:
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    journal.close()
    assert held[2] - held[1] < 1000  # bytes for 1,000 frames: less than one each
