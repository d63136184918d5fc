"""`--economy`: recorded with every knob, the same when a run is taken up again, and refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.cli import main
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights

FRAMES, SIDE = 6, 64
Run = Callable[..., int]


@pytest.fixture
def segment(tmp_path: Path) -> Run:
    torch.manual_seed(3)
    save_weights(Network(tiny_random()), tmp_path / "tiny.safetensors", {})
    (tmp_path / "frames").mkdir()
    ground = np.random.default_rng(0).integers(60, 120, (8, 16, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    for frame in range(FRAMES):
        Image.fromarray(ground[:, frame : frame + SIDE]).save(tmp_path / "frames" / f"{frame}.png")

    def run(*arguments: str) -> int:
        given = ["--model", str(tmp_path / "tiny.safetensors"), "--out", str(tmp_path / "out"), *arguments]
        return main(["segment", str(tmp_path / "frames"), "--box", "10,10,40,40@0", *given])

    return run


def test_the_record_says_every_knob(segment: Run, tmp_path: Path) -> None:
    assert segment("--economy", "fast:encode_every=3") == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["request"]["economy"] == {
        "encode_every": 3,
        "trust": 0.5,
        "absent_after": 1,
        "absent_every": 1,
        "pool": 3,
        "whole": 1,
        "pool_prompted": False,
    }
    assert record["frames_tracked"] == FRAMES


@pytest.mark.parametrize(
    ("spec", "cause"),
    [("quick", "choose off or fast"), ("off:pol=2", "did you mean 'pool'"), ("off:trust=7", "between 0 and 1")],
)
def test_what_is_no_economy_is_refused_and_nothing_written(
    segment: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: str, cause: str
) -> None:
    assert segment("--economy", spec) == 2
    assert cause in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
