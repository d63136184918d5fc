"""AdamW as SAM 2 is trained with it: a rate for each part of the network, warm-up, cosine, an average of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trocar.model import Network
from trocar.train.engine import encoder_blocks
from trocar.train.parts import part_of


@dataclass(frozen=True)
class Optimiser:
    """AdamW with a linear warm-up and a cosine down to `final_share` of the learning rate.

    SAM 2's fine-tuning: 5e-6, 3e-6 for the image encoder with a layer decay of 0.9, weight decay 0.1, norm 0.1, cosine
    down to a tenth, `second_moment` 0.999.

    Args:
        learning_rate: of everything but the image encoder.
        image_encoder_rate: of the image encoder; left out, the same.
        layer_decay: factor from each block of the image encoder to the one before it; its position tables keep the
            whole rate, as in SAM 2.
        final_share: part of the rate that is left at the end.
        warmup_steps: steps over which the rate grows from nothing.
        weight_decay: of matrices; biases, norms and single vectors have none.
        clip_norm: largest norm of a step's gradient.
        second_moment: decay of AdamW's mean squares.
        average_decay: decay of the moving average of the weights, which is what is shipped.
        bf16: whether to compute in bfloat16 where that is safe; weights and sums stay in float32.
    """

    learning_rate: float = 1e-3
    image_encoder_rate: float | None = None
    layer_decay: float = 1.0
    final_share: float = 0.02
    warmup_steps: int = 200
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    second_moment: float = 0.98
    average_decay: float = 0.998
    bf16: bool = False


def build_optimiser(network: Network, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW over what may learn, in groups of one rate each, those with weight decay first.

    A group's "scale" is its part of the learning rate; `set_rate` applies it.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = (parameter.ndim <= 1, rate_scale(network, name, settings))
            groups.setdefault(key, []).append(parameter)
    listed: list[dict[str, Any]] = [
        {"params": members, "scale": scale, "weight_decay": 0.0 if plain else settings.weight_decay}
        for (plain, scale), members in sorted(groups.items(), key=lambda item: item[0])
    ]
    return torch.optim.AdamW(listed, lr=settings.learning_rate, betas=(0.9, settings.second_moment), fused=True)


def rate_scale(network: Network, name: str, settings: Optimiser) -> float:
    """What part of the learning rate a parameter gets.

    Block i of L in the image encoder gets layer_decay ** (L - i), its first layer layer_decay ** (L + 1).
    """
    if part_of(name) != "image_encoder":
        return 1.0
    inside = name.partition(".")[2]
    rate = settings.image_encoder_rate
    scale = 1.0 if rate is None else rate / settings.learning_rate
    depth = len(encoder_blocks(network))
    if inside.startswith("blocks."):
        return scale * float(settings.layer_decay ** (depth - int(inside.split(".")[1])))
    if inside.startswith("patch."):
        return scale * float(settings.layer_decay ** (depth + 1))
    return scale


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its part of a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """AdamW's state from a checkpoint; rates and weight decay stay those of the recipe at hand.

    Raises:
        ValueError: the checkpoint was made with other groups of parameters.
    """
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimiser.param_groups]
    try:
        optimiser.load_state_dict(dict(state))
    except ValueError as error:
        raise ValueError(
            "the checkpoint was made with other rates for parts of the network, or other parts that learn: "
            f"resume with the recipe that lies beside it ({error})"
        ) from error
    for group, kept in zip(optimiser.param_groups, own, strict=True):
        group.update(kept)


def learning_rate(settings: Optimiser, step: int, progress: float) -> float:
    """Linear warm-up over steps, cosine over the run's progress."""
    floor = settings.final_share
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    return settings.learning_rate * cosine * min(1.0, (step + 1) / max(settings.warmup_steps, 1))


def learning_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that may learn, in the network's order."""
    return (parameter for parameter in network.parameters() if parameter.requires_grad)


def move_average(average: Mapping[str, Tensor], network: nn.Module, step: int, decay: float) -> None:
    """Move the average towards the weights, faster in the beginning, when it knows little."""
    keep = min(decay, (1 + step) / (10 + step))
    weights = network.state_dict()
    moving: list[Tensor] = [average[name] for name in weights]
    torch._foreach_lerp_(moving, list(weights.values()), 1 - keep)
