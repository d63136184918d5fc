"""What pretraining asks of a network: an objective draws its masks, gives a loss, and watches itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trocar.model.video_encoder import VideoEncoder
from trocar.pretrain.masks import Masks

ROWS = 4096  # tokens whose rank is taken


@dataclass(frozen=True, eq=False)
class Asked:
    """What a loss was taken of.

    Args:
        loss: a scalar.
        figures: to be logged.
    """

    loss: Tensor
    figures: Mapping[str, float]


class Objective(Protocol):
    """A network in pretraining. It is a `torch.nn.Module` too; its parameters that need gradients learn."""

    @property
    def encoder(self) -> VideoEncoder:
        """The encoder that is used downstream."""
        ...

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks that learn, whose activations can be computed anew instead of kept."""
        ...

    def draw_masks(self, step: np.random.Generator, clips: Sequence[np.random.Generator]) -> tuple[Masks, ...]:
        """The masks of some clips: what a whole step shares, and what each clip has for itself."""
        ...

    def __call__(self, clips: Tensor, masks: Sequence[Masks]) -> Asked:
        """The loss on clips (B, T, 3, S, S) with colours in 0..1."""
        ...

    def after_step(self, progress: float) -> None:
        """What follows a step of the optimiser, at `progress` (0 to 1) of the run."""
        ...

    def leak(self, clips: Tensor, masks: Sequence[Masks]) -> float:
        """The largest gradient of what is predicted with respect to pixels that are hidden; 0 if nothing leaks."""
        ...

    def features(self, clips: Tensor) -> Tensor:
        """(B, N, D) features of whole clips, as they are used downstream, without gradients."""
        ...


def spread(features: Tensor) -> dict[str, float]:
    """How far features are from collapse.

    Args:
        features: (B, N, D).

    Returns:
        "feature_std": mean over the numbers of their standard deviation over all tokens of all clips.
        "clip_std": the same over the clips, for tokens of one place: 0 where features tell the place alone; if there
        are clips to compare.
        "feature_rank": effective rank, exp of the entropy of the singular values (Garrido et al. 2023, RankMe): from 1
        to D; of some tokens that lie evenly among all.
    """
    features = features.float()
    rows = features.flatten(0, 1)
    few = rows[:: math.ceil(len(rows) / ROWS)]
    values = torch.linalg.svdvals(few - few.mean(0))
    parts = values / values.sum().clamp(min=1e-12)
    entropy = -(parts * parts.clamp(min=1e-12).log()).sum()
    found = {"feature_std": float(rows.std(0).mean()), "feature_rank": float(entropy.exp())}
    return found | ({"clip_std": float(features.std(0).mean())} if len(features) > 1 else {})


def hidden_gradient(out: Tensor, clips: Tensor, hidden: Tensor, encoder: VideoEncoder) -> float:
    """The largest gradient of `out`'s sum with respect to the pixels of hidden tokens.

    Args:
        out: what was computed from `clips`, which need gradients.
        hidden: (B, M) tokens.
        encoder: whose tokens they are.
    """
    (gradient,) = torch.autograd.grad(out.float().square().sum(), clips)
    config = encoder.config
    time, height, width = config.grid
    size: tuple[Any, ...] = (len(clips), time, config.tubelet, 3, height, config.patch, width, config.patch)
    cells = gradient.abs().view(size).amax((2, 3, 5, 7)).flatten(1)
    return float(cells.gather(1, hidden).max())
