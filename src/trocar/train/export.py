"""From a run to the weights that people use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trocar.model.checkpoint import save_weights
from trocar.train.checkpoint import LAST, Checkpoint, read_checkpoint
from trocar.train.recipe import Recipe
from trocar.train.start import averaged_network

WEIGHTS = "weights.safetensors"


def export_weights(recipe: Recipe, run: Path, path: Path) -> Mapping[str, str]:
    """Write the averaged weights of a run's last checkpoint as float16 safetensors.

    Returns:
        what the file says of itself.

    Raises:
        FileNotFoundError, ValueError: the folder `run` holds no checkpoint, or one of another model.
    """
    state = read_checkpoint(run / LAST)
    try:
        return save_average(recipe, state, path)
    except ValueError as error:
        raise ValueError(
            f"{run / LAST} is not a checkpoint of {recipe.model}: give the recipe it was made with"
        ) from error


def save_average(recipe: Recipe, state: Checkpoint, path: Path) -> Mapping[str, str]:
    """Write the averaged weights of a run's state as float16 safetensors, and return what the file says of itself.

    Raises:
        ValueError: they are not from a run of this recipe.
    """
    network = averaged_network(recipe, state.average)
    info = {
        "model": recipe.model,
        "steps": str(state.step),
        "training_minutes": f"{state.seconds / 60:.0f}",
        "data": ", ".join(f"{name} {share:g}" for name, share in sorted(recipe.data.items()) if share > 0),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, path, info)
    return info
