"""The command line on memory policies: the verb that lists them, and the option that takes one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trocar.bench.demo import FOLDER
from trocar.cli import main
from trocar.formats import MaskOutput
from trocar.memory import POLICIES
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights

FRAMES = 4
Run = Callable[..., int]


def test_the_list_tells_of_every_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n{name}" in f"\n{text}" for name in POLICIES)
    assert main(["policies", "--json"]) == 0
    rows = {row["policy"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(POLICIES)
    assert rows["recent"]["paper"].startswith("Ravi et al. 2024")
    assert rows["recent"]["masks"].startswith("causal")
    assert rows["recent"]["modes"] == ["corrected", "faithful"]
    assert "prompted" in rows["recent"]["reads"]
    assert "recent" in rows["recent"]["keeps"]
    assert rows["recent"]["knobs"][1] == {
        "knob": "window",
        "takes": "a whole number",
        "default": 6,
        "meaning": "recent frames read (SAM 2: `num_maskmem` - 1 = 6).",
    }


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_one_policy_is_shown_with_its_knobs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", name, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert main(["policies", name]) == 0
    text = capsys.readouterr().out
    assert text.startswith(name)
    assert all(f"\n{knob['knob']}=" in text for knob in row["knobs"])


def test_an_unknown_name_costs_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "recnt"]) == 2
    assert "did you mean 'recent'" in capsys.readouterr().err


@pytest.fixture
def segment(tmp_path: Path) -> Run:
    torch.manual_seed(3)
    save_weights(Network(tiny_random()), tmp_path / "tiny.safetensors", {})
    (tmp_path / "frames").mkdir()
    for frame in sorted((FOLDER / "frames").glob("*.jpg"))[:FRAMES]:
        shutil.copy(frame, tmp_path / "frames")

    def run(*arguments: str) -> int:
        asked = [
            "--model",
            str(tmp_path / "tiny.safetensors"),
            "--box",
            "20,20,90,90@0",
            "--out",
            str(tmp_path / "out"),
        ]
        return main(["segment", str(tmp_path / "frames"), *asked, *arguments])

    return run


def test_the_record_has_the_policy_with_every_knob(segment: Run, tmp_path: Path) -> None:
    assert segment("--memory", "recent:window=3") == 0
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["request"]["memory"] == {
        "policy": "recent",
        "mode": "corrected",
        "window": 3,
        "stride": 1,
        "max_pointers": 16,
        "max_prompted": None,
    }


def test_resume_asks_for_the_same_memory_however_it_is_written(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, written = MaskOutput.write, []

    def interrupted(self: MaskOutput, masks: object) -> None:
        if len(written) == FRAMES - 2:
            raise KeyboardInterrupt
        written.append(masks)
        write(self, masks)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskOutput, "write", interrupted)
    assert segment("--memory", "recent:window=3") == 130
    monkeypatch.undo()
    assert segment("--memory", "recent:window=4", "--resume") == 2
    assert "another memory" in capsys.readouterr().err
    file = tmp_path / "memory.toml"
    file.write_text('policy = "recent"\nwindow = 3\nmax_pointers = 16\n')
    assert segment("--memory", str(file), "--resume") == 0
    assert len(list((tmp_path / "out/masks").iterdir())) == FRAMES


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("recent:windw=3", ["'windw'", "'window'", "stride"]),
        ("recent:window=six", ["window", "'six'", "whole number"]),
        ("recent:mode=odd", ["mode", "'odd'", "'corrected' or 'faithful'"]),
        ("nowhere.toml", ["nowhere.toml"]),
    ],
)
def test_bad_knobs_cost_one_line_and_leave_nothing(
    segment: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: str, names: list[str]
) -> None:
    assert segment("--memory", spec) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert all(name in lines[0] for name in names), lines
    assert not (tmp_path / "out").exists()
