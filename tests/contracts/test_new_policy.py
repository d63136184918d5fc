"""A new policy is one file and one line in a table: this file's toy runs end to end from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from trocar.bench.demo import FOLDER
from trocar.cli import main
from trocar.formats.label_png import read_label_pngs
from trocar.memory import POLICIES
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    PolicySpec,
    ReadPlan,
    Record,
    SpatialItem,
    Visit,
    best_candidate,
)
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights


class Toy:
    """Remembers the prompts and every n-th frame after them.

    Args:
        every: n.
    """

    spec = PolicySpec()

    def __init__(self, every: int = 2) -> None:
        self.every = every
        self.prompted: dict[int, EntryId] = {}
        self.newest: dict[int, EntryId] = {}

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        items = [SpatialItem(entry, 6) for entry in self.prompted.values()]
        return [ReadPlan(tuple(items + [SpatialItem(entry, 0) for entry in self.newest.values()]))]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return best_candidate(candidates)

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        if entry.role == "prompted":
            self.prompted[entry.time] = entry.id
        elif entry.time % self.every == 0:
            self.newest = {entry.time: entry.id}

    def live(self) -> set[EntryId]:
        return {*self.prompted.values(), *self.newest.values()}


def test_one_class_and_one_line_in_the_table_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, "toy", Toy)
    torch.manual_seed(3)
    save_weights(Network(tiny_random()), tmp_path / "tiny.safetensors", {})
    frames = sorted((FOLDER / "frames").glob("*.jpg"))[:5]
    (tmp_path / "frames").mkdir()
    for frame in frames:
        shutil.copy(frame, tmp_path / "frames")
    asked = [
        "--memory",
        "toy",
        "--model",
        str(tmp_path / "tiny.safetensors"),
        "--prompts",
        str(FOLDER / "prompts.json"),
    ]
    assert main(["segment", str(tmp_path / "frames"), *asked, "--out", str(tmp_path / "out")]) == 0
    assert len(list(read_label_pngs(tmp_path / "out" / "masks"))) == len(frames)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "finished"


def test_it_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(POLICIES, "toy", Toy)
    assert main(["policies", "--json"]) == 0
    assert "toy" in {row["policy"] for row in json.loads(capsys.readouterr().out)}
