"""When a trained class model's classes count as there: calibrated on the inner split of its recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from trocar.classprompt.class_model import ClassModel, open_class_model
from trocar.classprompt.presence import calibrate
from trocar.model.checkpoint import read_head
from trocar.model.tensors import ImageFeatures
from trocar.train.class_prompt_data import ClassPictures
from trocar.train.class_prompt_recipe import ClassPromptRecipe
from trocar.train.class_prompt_start import frozen_network, open_pictures

SAID_ANEW = ("kind", "class_prompts")  # of a file's head, by `ClassModel.save`


def known_presence(pictures: ClassPictures, general: frozenset[int]) -> Iterator[tuple[ImageFeatures, dict[int, bool]]]:
    """The features of each frame, and which classes it is known to show or not to show.

    Args:
        pictures: prepared; their frames as they are count.
        general: numbers of the classes that a source may show without saying so.
    """
    shown: dict[int, Mapping[int, bool]] = {}
    for sample in pictures.samples():
        shown[sample.picture] = {**shown.get(sample.picture, {}), sample.class_number: True}
    for place, picture in enumerate(pictures.pictures):
        if picture.version == 0:
            known = dict.fromkeys(pictures.absent(place, general), False) | dict(shown.get(place, {}))
            if known:
                yield pictures.features([place]), known


def calibrate_presence(model: ClassModel, pictures: ClassPictures, general: frozenset[int]) -> ClassModel:
    """Fit presence on pictures that the model was not trained on; the model is changed in place."""
    return calibrate(model, pictures.network, known_presence(pictures, general))


def calibrate_file(path: Path, recipe: ClassPromptRecipe, made: Path, quiet: bool = False) -> ClassModel:
    """Calibrate a class model's file on its recipe's inner split, and write it again.

    Args:
        path: of the file.
        recipe: that it was trained by; it must have an inner split.
        made: folder for what is made from data, as in training.
        quiet: show no progress.

    Raises:
        ValueError: the recipe has no inner split, or the model does not fit it.
        FileNotFoundError: no such file, or a data set is missing.
    """
    network = frozen_network(recipe)
    model = open_class_model(path, network)
    if recipe.selection.by != "inner":
        raise ValueError('presence is calibrated on an inner split: set selection.by = "inner" and its sources')
    inner = open_pictures(recipe, network, made, quiet).inner
    assert inner is not None
    if inner.shots.names != model.config.names:
        raise ValueError(f"{path} knows other classes than the recipe: {', '.join(model.config.names)}")
    names = model.config.names
    calibrate_presence(model, inner, frozenset(names.index(name) for name in recipe.data.general if name in names))
    head = {name: value for name, value in read_head(path).items() if name not in SAID_ANEW}
    model.save(path, head)
    return model
