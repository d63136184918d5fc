"""`trocar train` on a recipe of class prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from trocar.classprompt import read_class_config
from trocar.cli import main
from trocar.datasets import vocalfolds

RECIPE = """
kind = "class-prompts"
model = "tiny-random"
weights = ""
epochs = 1
[data]
sources = ["vocalfolds/train"]
names = ["vocal folds", "surgical tool"]
versions = 0
[head]
hidden = 8
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    vocalfolds.write_fixture(tmp_path / "vocalfolds")
    monkeypatch.setenv("TROCAR_DATA", str(tmp_path))
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def train(recipe: Path, *more: str) -> int:
    folder = recipe.parent
    return main(["train", str(recipe), "--data", str(folder / "made"), "--out", str(folder / "out"), *more])


def test_a_recipe_trains_and_its_settings_are_options(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(recipe, "--render-only") == 0
    assert (tmp_path / "made" / "features").is_dir()
    assert not (tmp_path / "out").exists()
    assert train(recipe, "--head.tokens", "3") == 0
    written = Path(capsys.readouterr().out.splitlines()[-1])
    config = read_class_config(written)
    assert (config.tokens, config.names) == (3, ("vocal folds", "surgical tool"))


def test_what_is_wrong_is_said_in_a_line(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(recipe, "--data.names", "vocal folds,intubation") == 2
    assert "no training sample shows the class 'intubation'" in capsys.readouterr().err
    recipe.write_text(RECIPE.replace('"class-prompts"', '"class-prompt"'))
    with pytest.raises(SystemExit) as ended:
        train(recipe)
    assert ended.value.code == 2
    assert "did you mean 'class-prompts'?" in capsys.readouterr().err
    recipe.write_text(RECIPE.replace("hidden = 8", "hiden = 8"))
    with pytest.raises(SystemExit):
        train(recipe)
    assert "unknown key head.hiden: did you mean hidden?" in capsys.readouterr().err
