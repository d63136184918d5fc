"""The network that a run begins with."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trocar.model import Network, NetworkConfig, tiny_random
from trocar.model.checkpoint import load_weights
from trocar.model.config import tiny_drawn, tiny_sam
from trocar.model.registry import MODELS, find_weights
from trocar.train.equipment import equipped_network
from trocar.train.parts import merge_parts, prepare_parts
from trocar.train.recipe import Recipe

PUBLISHED = "published"
TINY: dict[str, Callable[[str], NetworkConfig]] = {
    "tiny-random": tiny_random,
    "tiny-drawn": tiny_drawn,
    "tiny-sam": tiny_sam,
}


def network_config(recipe: Recipe) -> NetworkConfig:
    """The sizes of the recipe's model.

    Raises:
        ValueError: there is no such model, or it cannot be trained as the recipe asks.
    """
    if recipe.model in TINY:
        config = TINY[recipe.model](recipe.model)
    elif recipe.model in MODELS:
        config = MODELS[recipe.model].config
    else:
        names = [*MODELS, *TINY]
        near = difflib.get_close_matches(recipe.model, names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"model {recipe.model!r} cannot be trained: {hint}choose from {', '.join(names)}")
    if not config.remembers and any(stage.clip_share for stage in recipe.stages):
        raise ValueError(f"{recipe.model} has no memory to train on clips: set clip_share = 0 in every stage")
    if config.remembers and config.memory_dropout and recipe.workers > 1:
        raise ValueError(
            f"{recipe.model} is trained with dropout, whose draws threads would share by chance: set workers = 1 "
            "(engine.parts may be more, and torchrun starts more processes)"
        )
    return replace(config, input=recipe.input) if recipe.input else config


def build_network(recipe: Recipe) -> Network:
    """A network with fresh weights that depend on the recipe's seed alone.

    Raises:
        ValueError: there is no such model, or it cannot be trained as the recipe asks.
    """
    config = network_config(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return equipped_network(config, recipe)


def first_network(recipe: Recipe) -> Network:
    """The network to train: with the weights that the recipe names, and only that free to learn which it names.

    Raises:
        ValueError: as `build_network`; the weights are of another network, none are published, or nothing learns.
        FileNotFoundError: the weights are not on this machine.
    """
    network = build_network(recipe)
    if recipe.weights == PUBLISHED:
        if recipe.model not in MODELS:
            raise ValueError(f"no weights of {recipe.model} are published: name a file in weights, or leave it out")
        load_weights(network, find_weights(recipe.model, download=True))
    elif recipe.weights:
        load_weights(network, Path(recipe.weights))
    prepare_parts(network, recipe.parts, recipe.seed)
    return network


def averaged_network(recipe: Recipe, average: Mapping[str, Tensor]) -> Network:
    """The plain network of a run's averaged weights, in evaluation mode.

    Raises:
        ValueError: they are not from a run of this recipe.
    """
    network = build_network(recipe)
    prepare_parts(network, recipe.parts)
    try:
        network.load_state_dict(dict(average))
    except RuntimeError as error:
        raise ValueError(f"the weights are not those of {recipe.model} as this recipe trains it") from error
    merge_parts(network)
    return network.eval()
