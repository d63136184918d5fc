"""SurgRec-JEPA: V-JEPA's prediction in feature space (Bardes et al. 2024; Assran et al. 2025).

The layers are transformers' V-JEPA 2; the forward pass is our own. `VJEPA2Model.forward` encodes all tokens before it
takes the context out of them, so that the context has seen what is to be predicted.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.video_encoder import (
    VideoEncoder,
    VideoEncoderConfig,
    draw_weights,
    shrink_branches,
    transformers_config,
    transformers_module,
)
from trocar.pretrain.masks import Blocks, Masks, block_masks, block_size
from trocar.pretrain.objective import Asked, hidden_gradient


@dataclass(frozen=True)
class Prediction:
    """Settings of JEPA.

    Args:
        short, long: the two families of masks; each gives a context and targets for every clip.
        cut: how the sets of a part's clips get one length, see `block_masks`; V-JEPA: "tail".
        width, depth, heads: of the predictor.
        keep, last_keep: part of the target encoder that stays in a step, growing linearly from one to the other;
            V-JEPA 0.998 and 1, V-JEPA 2 0.99925 and 0.99925.
        stretch: the growth ends after so many times the run, so that it never gets to the end (V-JEPA: 1.25).
    """

    short: Blocks = field(default_factory=Blocks)
    long: Blocks = field(default_factory=lambda: Blocks(2, 0.7))
    cut: Literal["random", "tail"] = "random"
    width: int = 384
    depth: int = 12
    heads: int = 12
    keep: float = 0.998
    last_keep: float = 1.0
    stretch: float = 1.25

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width // self.heads < 6:
            raise ValueError(
                f"jepa width {self.width} must be a multiple of heads {self.heads}, 6 times as much or more: mend it"
            )
        if not 0 <= self.keep <= 1 or not 0 <= self.last_keep <= 1 or self.stretch < 1:
            raise ValueError("jepa keep and last_keep lie between 0 and 1, stretch is 1 or more: mend them")


class JointEmbeddingPredictor(nn.Module):
    """A predictor finds the features of hidden tokens, as a slowly following copy of the encoder sees them.

    The context encoder sees the context's tokens alone. The target encoder sees whole clips; its features are
    normalised over their numbers, and no gradient goes through it. Weights of the target encoder are the moving mean of
    the context encoder's; it is the one that is used downstream.

    Args:
        config: of the encoder, of the family "vjepa2".
        settings: masks, predictor, moving mean.
        network: a network of transformers to go on from; left out, fresh weights.

    Raises:
        ValueError: the encoder is of another family.
    """

    predictor: Any

    def __init__(self, config: VideoEncoderConfig, settings: Prediction, network: nn.Module | None = None) -> None:
        super().__init__()
        if config.family != "vjepa2":
            raise ValueError("JEPA trains encoders of the family 'vjepa2': mend [encoder]")
        self.settings = settings
        parts: Any = _fresh(config, settings) if network is None else network
        self.context, self.predictor = VideoEncoder(config, parts.encoder), parts.predictor
        self.target = copy.deepcopy(self.context).requires_grad_(False)

    @property
    def encoder(self) -> VideoEncoder:
        return self.target

    @property
    def blocks(self) -> list[nn.Module]:
        return [*self.context.blocks, *self.predictor.layer]

    def take_weights(self, encoder: VideoEncoder) -> None:
        """Begin with the weights of another encoder of the same sizes; the predictor stays as it is."""
        for own in (self.context, self.target):
            own.load_state_dict(encoder.state_dict())

    def draw_masks(self, step: np.random.Generator, clips: Sequence[np.random.Generator]) -> tuple[Masks, ...]:
        grid, cut = self.context.config.grid, self.settings.cut
        families = (self.settings.short, self.settings.long)
        sizes = [block_size(grid, blocks, step) for blocks in families]
        return tuple(block_masks(grid, blocks, size, clips, cut) for blocks, size in zip(families, sizes, strict=True))

    def forward(self, clips: Tensor, masks: Sequence[Masks]) -> Asked:
        """The mean absolute error of each family's predictions, and their mean."""
        wanted = self.targets(clips)
        losses = [
            F.l1_loss(self.predict(clips, one, family).float(), _taken(wanted, one.hidden))
            for family, one in enumerate(masks)
        ]
        figures: dict[str, float] = {}
        for name, one, loss in zip(("short", "long"), masks, losses, strict=True):
            figures |= {
                f"{name}_loss": float(loss.detach()),
                f"{name}_visible": one.share,
                f"{name}_kept": one.seen.shape[1] / self.context.config.tokens,
            }
        return Asked(torch.stack(losses).mean(), figures)

    @torch.no_grad()
    def targets(self, clips: Tensor) -> Tensor:
        """(B, N, D) features of whole clips by the target encoder, each token's mean 0 and variance 1."""
        features: Tensor = self.target(clips).float()
        return F.layer_norm(features, features.shape[-1:])

    def predict(self, clips: Tensor, masks: Masks, family: int) -> Tensor:
        """(B, M, D) predicted features of the hidden tokens, from the seen ones.

        Every family has a mask token of its own.
        """
        predictor = self.predictor
        context = predictor.embeddings.predictor_embeddings(self.context(clips, masks.seen))
        asked = predictor.embeddings.mask_tokens[family].to(context.dtype).expand(*masks.hidden.shape, -1)
        hidden, places = torch.cat((context, asked), 1), torch.cat((masks.seen, masks.hidden), 1)
        for layer in predictor.layer:
            hidden = layer(hidden, places)[0]
        found: Tensor = predictor.proj(predictor.layernorm(hidden[:, context.shape[1] :]))
        return found

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the target encoder towards the context encoder."""
        settings = self.settings
        keep = settings.keep + (settings.last_keep - settings.keep) * progress / settings.stretch
        own: list[Tensor] = list(self.target.parameters())
        theirs: list[Tensor] = list(self.context.parameters())
        torch._foreach_lerp_(own, theirs, 1 - keep)

    def leak(self, clips: Tensor, masks: Sequence[Masks]) -> float:
        clips = clips.clone().requires_grad_()
        return max(
            hidden_gradient(self.predict(clips, one, family), clips, one.hidden, self.context)
            for family, one in enumerate(masks)
        )

    @torch.no_grad()
    def features(self, clips: Tensor) -> Tensor:
        """The target encoder's, before they are normalised: these are what collapses."""
        tokens: Tensor = self.target(clips)
        return tokens


def _taken(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))


def _fresh(config: VideoEncoderConfig, settings: Prediction) -> nn.Module:
    """Fresh weights; the encoder's are drawn as those of `make_video_encoder` are."""
    given = transformers_config(
        config,
        pred_hidden_size=settings.width,
        pred_num_hidden_layers=settings.depth,
        pred_num_attention_heads=settings.heads,
        pred_num_mask_tokens=2,
    )
    network: Any = transformers_module().VJEPA2Model(given)
    draw_weights(network)
    for blocks in (network.encoder.layer, network.predictor.layer):
        shrink_branches(blocks)
    return network  # type: ignore[no-any-return]
