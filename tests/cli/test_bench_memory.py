"""`trocar bench` on memory policies, with the packaged network on few frames."""

import json
from pathlib import Path

import pytest

from trocar.cli import main

DEMO = Path(__file__).parents[2] / "src" / "trocar" / "assets" / "demo" / "frames"


def test_overhead_names_every_policy_that_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "overhead.json"
    asked = ["bench", "overhead", str(DEMO), "--frames", "2", "--policies", "none", "--out", str(out)]
    assert main(asked) == 0
    figures = json.loads(out.read_text())
    assert set(figures["policies"]) == {"recent", "none"}
    assert figures["policies"]["none"]["spatial"] == 0
    assert "encoding a frame takes" in capsys.readouterr().out


def test_bank_draws_what_is_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "bank.svg"
    asked = ["bench", "bank", str(DEMO), "--box", "100,100,300,300@0", "--every", "4", "--plot", str(plot), "--json"]
    assert main([*asked, "--policies", "recent:window=2,max_pointers=3"]) == 0
    columns = json.loads(capsys.readouterr().out)["policies"]["recent:window=2,max_pointers=3"]
    # The prompt, and as many tracked frames as two slots and the frame between them reach.
    assert columns["entries"] == [4.0, 4.0, 4.0][: len(columns["entries"])]
    assert plot.read_text().startswith("<?xml")


def test_a_recipe_with_an_unknown_policy_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "run", "long-absence", "--out", str(tmp_path / "out"), "--policies", "recents"]
    assert main(asked) == 2
    assert "recent" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
