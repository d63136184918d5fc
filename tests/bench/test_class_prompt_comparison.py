"""The comparison of prototypes: its recipes are valid, its scenes apart, and its shares are the whole."""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from trocar.train.class_prompt_pictures import INNER_SEED, TRAIN_SEED


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
    try:
        return import_module("class_prompt_comparison")
    finally:
        sys.path.pop(0)


def test_every_condition_is_a_recipe_that_differs_from_the_others_in_its_head_alone(script: ModuleType) -> None:
    plan = script.PLANS["frozen"]
    recipes = [script.recipe_of(name, 1, plan, Path("cache"), "published") for name in script.CONDITIONS]
    assert len({str(recipe.head) for recipe in recipes}) == len(recipes)
    for recipe in recipes[1:]:
        assert (recipe.data, recipe.losses, recipe.epochs, recipe.seed) == (
            recipes[0].data,
            recipes[0].losses,
            recipes[0].epochs,
            1,
        )


def test_scenes_of_training_tuning_and_scoring_are_apart(script: ModuleType) -> None:
    plan = script.PLANS["frozen"]
    recipe = script.recipe_of("contrastive, n = 4", 0, plan, Path("cache"), "published")
    trained = range(TRAIN_SEED, TRAIN_SEED + recipe.data.scenes)
    inner = range(INNER_SEED, INNER_SEED + 100_000)
    tuned = range(plan.tuned, plan.tuned + plan.tuned_clips)
    held_out = range(plan.held_out, plan.held_out + 100_000)
    pilot = script.PLANS["pilot"]
    spans = (trained, inner, tuned, held_out, range(pilot.tuned, pilot.held_out + pilot.clips))
    ordered = sorted(spans, key=lambda span: span.start)
    assert all(before.stop <= after.start for before, after in pairwise(ordered))


def test_shares_are_every_run_once_and_seed_by_seed(script: ModuleType) -> None:
    order = script.order_of(script.PLANS["frozen"])
    assert len(order) == len(set(order)) == 3 * len(script.CONDITIONS)
    assert sorted(order[0::2] + order[1::2]) == sorted(order)
    assert [seed for seed, _ in order[:5]] == [0] * 5
