"""The log holds every step once, whatever happened in between, and TensorBoard shows the same figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trocar.train.journal import BOARD, LOG, Journal, peak_memory_gb

CPU = torch.device("cpu")


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]


def test_a_line_is_the_mean_since_the_last_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(0)
    journal.add({"dice": 1.0}, 4, clips=False)
    journal.add({"dice": 0.5}, 4, clips=False)
    journal.add({"dice": 0.25}, 2, clips=True)
    line = journal.close_line(3, {"stage": 0}, CPU)
    journal.close()
    assert (line["dice"], line["clip_dice"], line["stage"]) == (0.75, 0.25, 0)
    assert line["samples_per_s"] == pytest.approx(line["steps_per_s"] * 10 / 3, rel=0.01)
    assert line["peak_memory_gb"] == pytest.approx(peak_memory_gb(CPU), rel=0.1)
    assert 0.05 < peak_memory_gb(CPU) < 100
    assert lines(tmp_path) == [line]
    assert not journal.values


def test_lines_of_steps_that_are_trained_anew_go(tmp_path: Path) -> None:
    text = '{"step": 2}\n{"step": 4, "dice": 0.5}\n{"step": 6}\n{"step": 8, "di'
    (tmp_path / LOG).write_text(text, encoding="utf-8")
    journal = Journal(tmp_path)
    journal.begin(4)
    journal.write({"step": 6, "dice": 0.25})
    journal.close()
    assert lines(tmp_path) == [{"step": 2}, {"step": 4, "dice": 0.5}, {"step": 6, "dice": 0.25}]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, writes=False)
    journal.begin(0)
    journal.add({"dice": 1.0}, 1, clips=False)
    journal.close_line(1, {}, CPU)
    journal.close()
    assert not list(tmp_path.iterdir())


def test_tensorboard_shows_the_same(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    journal = Journal(tmp_path)
    journal.begin(0)
    for step in (1, 2):
        journal.write({"step": step, "dice": 1.0 / step})
    journal.close()
    board = events.EventAccumulator(str(tmp_path / BOARD)).Reload()
    assert [(one.step, one.value) for one in board.Scalars("dice")] == [(1, 1.0), (2, 0.5)]
