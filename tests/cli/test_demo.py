"""The demo, with the packaged model: what a newcomer sees first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trocar.bench.demo import NAMES, demo_prompts, demo_source
from trocar.cli import main
from trocar.formats import open_source


def test_the_demo_names_a_video_label_maps_and_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert str(out / "overlay.mp4") in said
    assert str(out / "masks") in said
    assert all(name in said for name in NAMES.values())
    assert "frames/s" in said
    assert "peak memory" in said
    assert len(open_source(out / "overlay.mp4")) == len(demo_source())


def test_its_scores_are_those_of_a_model_that_tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--json"]) == 0
    scores = {row["object"]: float(row["J&F"]) for row in json.loads(capsys.readouterr().out)["scores"]}
    # Three objects that keep their place: a tracker that loses them scores near 0.
    assert scores["mean"] > 0.2


def test_its_prompts_fit_its_frames() -> None:
    rows, columns = demo_source().geometry.size
    for placed in demo_prompts():
        assert placed.frame == 0
        box = placed.prompt
        assert 0 <= box.x0 < box.x1 <= columns  # type: ignore[union-attr]
        assert 0 <= box.y0 < box.y1 <= rows  # type: ignore[union-attr]
