"""What a run of pretraining begins with: a network by the recipe, with fresh weights or those of a file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from trocar.model.video_encoder import VideoEncoder, open_video_encoder, transformers_module
from trocar.model.video_encoder_names import find_video_encoder
from trocar.pretrain.jepa import JointEmbeddingPredictor
from trocar.pretrain.mae import MaskedAutoencoder
from trocar.pretrain.recipe import PretrainRecipe

SIZES = ("family", "width", "depth", "heads", "side", "patch", "tubelet")
Network = MaskedAutoencoder | JointEmbeddingPredictor


def first_network(recipe: PretrainRecipe) -> Network:
    """The network of a recipe, in training mode, its fresh weights drawn by the recipe's seed.

    Raises:
        FileNotFoundError, ValueError: its weights are not there, or are of another encoder.
    """
    torch.manual_seed(recipe.seed)
    given, encoder = (None, None) if not recipe.weights else _given(recipe, find_video_encoder(recipe.weights))
    network: Network
    if recipe.encoder.family == "videomae":
        network = MaskedAutoencoder(recipe.encoder, recipe.mae, given)
    else:
        network = JointEmbeddingPredictor(recipe.encoder, recipe.jepa, given)
    if encoder is not None:
        network.take_weights(encoder)
    if recipe.engine.recompute:
        for block in network.blocks:
            own: Any = block
            own.gradient_checkpointing = True
            own._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    return network.train()


def _given(recipe: PretrainRecipe, path: Path) -> tuple[nn.Module | None, VideoEncoder | None]:
    """A whole network of transformers from a folder, or an encoder from one of our files."""
    found = open_video_encoder(path)
    wanted = recipe.encoder
    names = (*SIZES, "frames") if wanted.family == "videomae" else SIZES
    other = [name for name in names if getattr(found.config, name) != getattr(wanted, name)]
    if other:
        said = ", ".join(f"{name} {getattr(found.config, name)}" for name in other)
        raise ValueError(f"{path} holds an encoder of {said}, not that of the recipe: change [encoder], or the weights")
    if path.is_file():
        return None, found
    if wanted.family == "vjepa2":
        return transformers_module().VJEPA2Model.from_pretrained(path, local_files_only=True, dtype=torch.float32), None
    if not found.body.config.use_mean_pooling:
        whole = transformers_module().VideoMAEForPreTraining
        return whole.from_pretrained(path, local_files_only=True, dtype=torch.float32), None
    raise ValueError(f"{path} was fine-tuned and has no last norm: begin with the weights before that")
