"""SurgRec-MAE: VideoMAE's masked reconstruction (Tong et al. 2022), on transformers' `VideoMAEForPreTraining`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trocar.model.video_encoder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VideoEncoder,
    VideoEncoderConfig,
    draw_weights,
    transformers_config,
    transformers_module,
)
from trocar.pretrain.masks import Masks, tube_masks
from trocar.pretrain.objective import Asked, hidden_gradient


@dataclass(frozen=True)
class Reconstruction:
    """Settings of MAE.

    Args:
        ratio: of the places of a frame that are hidden in all frames.
        width, depth, heads: of the decoder (ViT-B: 384, 4, 6; ViT-L: 512, 12, 8).
    """

    ratio: float = 0.9
    width: int = 384
    depth: int = 4
    heads: int = 6


class MaskedAutoencoder(nn.Module):
    """The encoder sees a tenth of a clip's tokens, a small decoder paints the others.

    The target of a token is its pixels, less their mean and divided by their standard deviation, for each colour.
    Weights begin as Xavier draws, as in the release.

    Args:
        config: of the encoder, of the family "videomae", with ImageNet's colours: transformers' loss knows no others.
        settings: mask and decoder.
        network: a network of transformers to go on from; left out, fresh weights.

    Raises:
        ValueError: the encoder is of another family, or has other colours.
    """

    network: Any

    def __init__(self, config: VideoEncoderConfig, settings: Reconstruction, network: nn.Module | None = None) -> None:
        super().__init__()
        if config.family != "videomae" or (config.mean, config.std) != (IMAGENET_MEAN, IMAGENET_STD):
            raise ValueError(
                "MAE trains encoders of the family 'videomae' with ImageNet's mean and std: mend [encoder]"
            )
        self.config, self.settings = config, settings
        self.network = _fresh(config, settings) if network is None else network
        self.draw_masks(np.random.default_rng(0), [np.random.default_rng(0)])  # a ratio that hides nothing fails here

    @property
    def encoder(self) -> VideoEncoder:
        """The network's own layers under another face; made when asked for, since a state has each weight once."""
        return VideoEncoder(self.config, self.network.videomae).to(self.network.mask_token.device)

    @property
    def blocks(self) -> list[nn.Module]:
        return [*self.encoder.blocks, *self.network.decoder.decoder_layers]

    def take_weights(self, encoder: VideoEncoder) -> None:
        """Begin with the weights of another encoder of the same sizes; the decoder stays as it is."""
        self.network.videomae.load_state_dict(encoder.body.state_dict())

    def draw_masks(self, step: np.random.Generator, clips: Sequence[np.random.Generator]) -> tuple[Masks, ...]:
        return (tube_masks(self.config.grid, self.settings.ratio, clips),)

    def forward(self, clips: Tensor, masks: Sequence[Masks]) -> Asked:
        found = self._answer(clips, masks[0])
        return Asked(found.loss, {"visible": masks[0].share})

    def after_step(self, progress: float) -> None:
        """Nothing: there is no second network."""

    def leak(self, clips: Tensor, masks: Sequence[Masks]) -> float:
        clips = clips.clone().requires_grad_()
        return hidden_gradient(self._answer(clips, masks[0]).logits, clips, masks[0].hidden, self.encoder)

    @torch.no_grad()
    def features(self, clips: Tensor) -> Tensor:
        tokens: Tensor = self.encoder(clips)
        return tokens

    def _answer(self, clips: Tensor, masks: Masks) -> Any:
        mean, std = (torch.tensor(one, device=clips.device).view(3, 1, 1) for one in (IMAGENET_MEAN, IMAGENET_STD))
        hidden = torch.zeros(len(clips), self.config.tokens, dtype=torch.bool, device=clips.device)
        return self.network((clips - mean) / std, hidden.scatter(1, masks.hidden, True))


def _fresh(config: VideoEncoderConfig, settings: Reconstruction) -> nn.Module:
    names = {
        "width": "decoder_hidden_size",
        "depth": "decoder_num_hidden_layers",
        "heads": "decoder_num_attention_heads",
    }
    sizes = {theirs: getattr(settings, ours) for ours, theirs in names.items()}
    if settings.width % settings.heads:
        raise ValueError(
            f"mae width {settings.width} is no multiple of heads {settings.heads}: choose numbers that divide"
        )
    given = transformers_config(config, **sizes, decoder_intermediate_size=4 * settings.width)
    network: Any = transformers_module().VideoMAEForPreTraining(given)
    draw_weights(network)
    nn.init.trunc_normal_(network.mask_token, std=0.02)
    return network  # type: ignore[no-any-return]
