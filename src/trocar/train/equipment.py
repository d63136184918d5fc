"""What a recipe adds to a network: codes for long-term memory, and the semantic head with its text features."""

from __future__ import annotations

from dataclasses import replace

from trocar.model.config import NetworkConfig
from trocar.model.network import Network
from trocar.model.sam1 import make_network
from trocar.train.recipe import Recipe
from trocar.train.semantic import head_config, text_table


def equipped_network(config: NetworkConfig, recipe: Recipe) -> Network:
    """A network with fresh weights and what the recipe adds to it.

    Raises:
        ValueError: the recipe adds something to a network that cannot track, or lacks codes for long-term frames.
    """
    if recipe.plan.has_long_term and not recipe.memory.long_term_slots:
        raise ValueError(
            f"plan.kind {recipe.plan.kind!r} has long-term frames: set memory.long_term_slots to 1 or more"
        )
    if not config.remembers and (recipe.semantic.on or recipe.memory.long_term_slots):
        raise ValueError(f"{config.name} has no memory: switch semantic.on off and set memory.long_term_slots to 0")
    config = replace(config, num_long_term_slots=recipe.memory.long_term_slots)
    if not recipe.semantic.on:
        return make_network(config)
    table = text_table(recipe.semantic)
    network = make_network(replace(config, semantic=head_config(table, recipe.semantic)))
    assert network.semantic_head is not None
    network.semantic_head.text.copy_(table.vectors)
    return network
