"""What a class model costs: every combination is measured, and the command says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trocar.cli import main
from trocar.train.class_prompt_cost import CostOptions, measure


@pytest.mark.parametrize("encoder", ["tiny-random", "tiny-sam"])
@pytest.mark.parametrize("mode", ["cached", "online"])
def test_a_measurement_trains_and_asks(encoder: str, mode: str) -> None:
    row = measure(encoder, mode, 2, CostOptions(steps=1, device="cpu"))  # type: ignore[arg-type]
    assert row["train samples/s"] > 0
    assert row["ask frames/s"] > row["train samples/s"], "training also goes backward"
    assert row["peak GB"] >= row["of that before training GB"] > 0
    side = {"tiny-random": 64, "tiny-sam": 96}[encoder]
    assert row["side"] == side
    finer = {"tiny-random": 8 * (side // 4) ** 2 + 16 * (side // 8) ** 2, "tiny-sam": 0}[encoder]
    assert row["bytes an image"] == 2 * (finer + 64 * (side // 16) ** 2), "half precision"


@pytest.mark.slow
def test_the_command_measures_every_combination(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["--encoders", "tiny-random", "--batches", "1,2", "--modes", "cached", "--steps", "1", "--device", "cpu"]
    assert main(["bench", "class-prompt-cost", *said, "--out", str(tmp_path / "cost.json")]) == 0
    assert "tiny-random" in capsys.readouterr().out
    rows = json.loads((tmp_path / "cost.json").read_text())["rows"]
    assert [(row["encoder"], row["features"], row["batch"]) for row in rows] == [
        ("tiny-random", "cached", 1),
        ("tiny-random", "cached", 2),
    ]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="are 1 or more"):
        CostOptions(batches=(0,))
