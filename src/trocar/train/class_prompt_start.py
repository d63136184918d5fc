"""What a training of class prompts begins with: the frozen network, its pictures, and a model to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from trocar.classprompt.class_model import ClassModel
from trocar.classprompt.config import ClassPromptConfig, unknown_class
from trocar.classprompt.contrast import class_embeddings
from trocar.classprompt.fixed_prototypes import mean_prototypes, text_prototypes
from trocar.load import load
from trocar.model.network import Network
from trocar.model.text_features import STAND_IN, text_features
from trocar.train.class_prompt_data import ClassPictures, Preparation, Sample
from trocar.train.class_prompt_pictures import INNER_SEED, TRAIN_SEED, Shots, list_shots
from trocar.train.class_prompt_recipe import ClassPromptRecipe
from trocar.train.recipe import Recipe
from trocar.train.start import build_network


@dataclass(frozen=True, eq=False)
class Corpus:
    """Pictures to learn from, and those of the inner split, if there is one."""

    learned: ClassPictures
    inner: ClassPictures | None


def frozen_network(recipe: ClassPromptRecipe) -> Network:
    """The network whose features are learned from, of which nothing learns.

    Raises:
        UnknownName, FileNotFoundError, ValueError: as `trocar.load.load`.
    """
    if recipe.weights:
        network = load(recipe.model if recipe.weights == "published" else recipe.weights)
    else:
        network = build_network(Recipe(model=recipe.model, seed=recipe.seed))
    return network.eval().requires_grad_(False)


def open_pictures(recipe: ClassPromptRecipe, network: Network, made: Path, quiet: bool = False) -> Corpus:
    """List the frames that a recipe learns from, and prepare them.

    Raises:
        ValueError: there is no such source or case; or a class has no sample, and is named.
        FileNotFoundError: a data set is missing.
        CacheMismatch: the cache of features is of other weights.
    """
    data, selection = recipe.data, recipe.selection
    side, online = recipe.side or network.config.image_size, data.features == "online"
    every = list_shots(data, data.sources, data.scenes, TRAIN_SEED, data.names)
    for key, said, known in (("names", data.names, every.known), ("general", data.general, every.names)):
        if unknown := [name for name in said if name not in known]:
            raise ValueError(f"data.{key}: {unknown_class(unknown[0], known)}")
    kept_out = set(selection.cases)
    if missing := sorted(kept_out - {shot.case for shot in every.shots}):
        raise ValueError(f"selection.cases: no training source has a case {missing[0]!r}")
    shots = replace(every, shots=tuple(one for one in every.shots if one.case not in kept_out))
    shown = frozenset(recipe.version_at(epoch) for epoch in range(recipe.epochs))
    learned = ClassPictures(network, shots, data, Preparation(made, side, data.versions, online, shown))
    learned.prepare(quiet)
    if missing := learned.missing_classes():
        raise ValueError(
            f"no training sample shows the class {', '.join(map(repr, missing))}: leave it out of data.names, or add a "
            f"source that shows it to {', '.join(data.sources)}"
        )
    if selection.by == "last":
        return Corpus(learned, None)
    others = tuple(one for one in every.shots if one.case in kept_out)
    labelled = dict(every.labelled)
    if selection.sources:
        inner = list_shots(data, selection.sources, selection.scenes, INNER_SEED, every.names)
        others, labelled = (*others, *inner.shots), {**labelled, **inner.labelled}
    held = ClassPictures(network, Shots(every.names, others, labelled), data, Preparation(made, side, 0, online))
    held.prepare(quiet)
    if not held.samples():
        raise ValueError("the inner split of [selection] shows none of the classes: name other sources or cases")
    return Corpus(learned, held)


def first_model(recipe: ClassPromptRecipe, network: Network, pictures: ClassPictures) -> ClassModel:
    """A model to be trained; what is drawn depends on the seed alone, and fixed prototypes are put in."""
    head, side = recipe.head, pictures.how.side
    config = ClassPromptConfig(
        pictures.shots.names,
        network.config.hidden_dim,
        (side // 16) ** 2,
        side,
        head.tokens,
        head.hidden,
        head.prototypes,
        head.contrast,
        head.temperature,
        head.scale,
        head.dense,
        head.sparse,
        head.signs,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = ClassModel(config, network)
    fixed = _fixed_prototypes(recipe, config, pictures)
    if fixed is not None:
        with torch.no_grad():
            model.head.prototypes.copy_(fixed)
    return model.to(next(network.prompt_encoder.parameters()).device)


def _fixed_prototypes(recipe: ClassPromptRecipe, config: ClassPromptConfig, pictures: ClassPictures) -> Tensor | None:
    if recipe.head.prototypes == "learned":
        return None
    if recipe.head.prototypes == "mean":
        samples = pictures.samples()
        found = []
        for at in range(0, len(samples), recipe.batch):
            own = samples[at : at + recipe.batch]
            places = [sample.picture for sample in own]
            masks = pictures.labels(places) == class_numbers(own)[:, None, None] + 1
            found.append(class_embeddings(pictures.features(places).stride16.float(), masks).cpu())
        return mean_prototypes(torch.cat(found), class_numbers(samples).cpu(), config.names)
    encoder = STAND_IN if recipe.head.prototypes == "stand-in" else recipe.head.text_encoder
    return text_prototypes(text_features(config.names, encoder, recipe.head.text_template), config.dim)


def class_numbers(samples: Sequence[Sample]) -> Tensor:
    """(N,) long: the classes that N samples ask for."""
    return torch.tensor([sample.class_number for sample in samples], dtype=torch.long)
