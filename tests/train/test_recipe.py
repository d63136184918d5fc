"""Recipes: what is read is what was written, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from trocar.settings import read_settings, to_toml
from trocar.train.recipe import LossWeights, Recipe, Stage

RECIPES = Path(__file__).parents[2] / "recipes"


def test_a_recipe_survives_toml(tmp_path: Path) -> None:
    recipe = Recipe(
        seed=3,
        steps=7,
        data={"scenes": 1.0},
        losses=LossWeights(pixel=20.0, focal_gamma=2.0),
        stages=(Stage(side=64), Stage(share=2.0, clip_share=0.5)),
    )
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    assert read_settings(Recipe, path) == recipe


def test_the_published_recipe_reads() -> None:
    recipe = read_settings(Recipe, RECIPES / "nano.toml")
    assert recipe.model == "nano"
    assert recipe.stages[-1].side == 256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "unknown key sed: did you mean seed"),
        ("[optimiser]\nlearning_rat = 1.0", "unknown key optimiser.learning_rat: did you mean learning_rate"),
        ("[[stages]]\nsides = 64", r"unknown key stages\[0\].sides: did you mean side"),
        ('seed = "one"', "seed must be a whole number, not 'one'"),
        ("steps = 0", "runs for steps >= 1"),
        ("stages = []", "at least one stage"),
        ("[data]\nscenes = true", "data.scenes must be a number"),
        ("seed = ", "not a TOML file"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(Recipe, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.toml is not a file"):
        read_settings(Recipe, tmp_path / "none.toml")


def test_stages_follow_one_another_by_their_shares() -> None:
    recipe = Recipe(stages=(Stage(share=1), Stage(share=3)))
    assert [recipe.stage_at(p)[0] for p in (0.0, 0.24, 0.26, 0.99, 1.0)] == [0, 0, 1, 1, 1]
