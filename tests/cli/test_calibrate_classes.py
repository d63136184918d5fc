"""`trocar classes calibrate`: presence is fitted on a recipe's inner split and written into the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from trocar.classprompt import read_class_config
from trocar.cli import main

RECIPE = """
kind = "class-prompts"
model = "tiny-random"
weights = ""
epochs = 1
[data]
sources = ["lookalike-scenes"]
names = ["large needle driver", "clip applier"]
scenes = 16
scene_frames = 1
[head]
hidden = 8
"""
INNER = '[selection]\nby = "inner"\nsources = ["lookalike-scenes"]\nscenes = 16\n'


def test_a_file_is_calibrated_by_its_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    data = ["--data", str(tmp_path / "made")]
    assert main(["train", str(recipe), *data, "--out", str(tmp_path / "out")]) == 0
    file = Path(capsys.readouterr().out.splitlines()[-1])
    assert read_class_config(file).presence == ()
    assert main(["classes", "calibrate", str(file), str(recipe), *data]) == 2
    assert "no inner split" in capsys.readouterr().err
    recipe.write_text(RECIPE + INNER)
    assert main(["classes", "calibrate", str(file), str(recipe), *data]) == 0
    assert [len(row) for row in read_class_config(file).presence] == [7, 7]
    recipe.write_text((RECIPE + INNER).replace('"clip applier"', '"ultrasound probe"'))
    assert main(["classes", "calibrate", str(file), str(recipe), *data]) == 2
    assert "knows other classes" in capsys.readouterr().err
