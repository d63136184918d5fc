"""The rows of SAM2S's ablation switch on what the table says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trocar.model import tiny_random
from trocar.settings import read_settings, to_toml, with_fields
from trocar.train.ablation import ROWS, TABLE_7, ablated
from trocar.train.ambiguity import Ambiguity
from trocar.train.equipment import equipped_network
from trocar.train.plan import PlanSettings
from trocar.train.planned_memory import MemorySettings
from trocar.train.recipe import Recipe
from trocar.train.semantic import Semantic

SAM2S = Recipe(
    plan=PlanSettings("mixed"),
    memory=MemorySettings(1),
    semantic=Semantic(on=True, encoder="stand-in"),
    ambiguity=Ambiguity(on=True),
)


@pytest.mark.parametrize("row", ROWS)
def test_a_row(row: str) -> None:
    divemem, tsl, arl = ROWS[row]
    recipe = ablated(SAM2S, divemem, tsl, arl)
    assert recipe.plan.has_long_term == divemem
    assert recipe.semantic.on == tsl
    assert recipe.ambiguity.on == arl
    network = equipped_network(tiny_random(), recipe)
    assert (network.semantic_head is not None) == tsl
    assert (network.memory_attention.long_term_codes is not None) == divemem
    switches = {"plan", "memory", "semantic", "ambiguity"}
    assert {name for name in vars(recipe) if getattr(recipe, name) != getattr(SAM2S, name)} <= switches


def test_the_last_row_is_the_whole_method_and_the_command_line_says_the_same() -> None:
    assert ablated(SAM2S, *TABLE_7["sam2s"]) == SAM2S
    said = {"plan.kind": "mixed", "memory.long_term_slots": "1", "semantic.on": "true", "ambiguity.on": "true"}
    assert with_fields(Recipe(semantic=replace(SAM2S.semantic, on=False)), said) == SAM2S


def test_the_settings_survive_toml(tmp_path: object) -> None:
    path = tmp_path / "recipe.toml"  # type: ignore[operator]
    path.write_text(to_toml(SAM2S), encoding="utf-8")
    assert read_settings(Recipe, path) == SAM2S


def test_what_does_not_go_together_is_named() -> None:
    with pytest.raises(ValueError, match=r"set memory\.long_term_slots to 1 or more"):
        equipped_network(tiny_random(), Recipe(plan=PlanSettings("divemem")))
    with pytest.raises(ValueError, match="has no memory"):
        equipped_network(replace(tiny_random(), family="sam"), SAM2S)
