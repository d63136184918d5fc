"""AdamW as masked pretraining uses it: warm-up and cosine of the rate, and a weight decay that may grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trocar.train.optimise import set_rate


@dataclass(frozen=True)
class Schedule:
    """The optimiser and what changes over a run.

    VideoMAE: 1.5e-4 for 256 clips, warm-up from 0, down to 1e-5, weight decay 0.05, second moment 0.95. V-JEPA:
    6.25e-4 as it is, warm-up from 0.32 of it, down to 1e-6, weight decay 0.04 to 0.4, second moment 0.999, norm 10 once
    warm. V-JEPA 2: 5.25e-4 and 0.04 throughout.

    Args:
        learning_rate: at the end of the warm-up, for `rate_clips` clips.
        rate_clips: the rate grows with the batch, in proportion to it; 0 where it is taken as it is.
        first_share: part of the rate that the warm-up begins with.
        final_rate: at the end of the run, as it is.
        warmup_steps: steps over which the rate grows.
        weight_decay, final_weight_decay: of matrices, from the first to the second along a cosine; biases, norms and
            mask tokens have none.
        second_moment: decay of AdamW's mean squares.
        clip_norm: largest norm of a step's gradient once warm; 0 for any.
        bf16: whether to compute in bfloat16 where that is safe; weights and sums stay in float32.
    """

    learning_rate: float = 1.5e-4
    rate_clips: int = 256
    first_share: float = 0.0
    final_rate: float = 1e-5
    warmup_steps: int = 100
    weight_decay: float = 0.05
    final_weight_decay: float = 0.05
    second_moment: float = 0.95
    clip_norm: float = 0.0
    bf16: bool = False

    def __post_init__(self) -> None:
        rates = (self.learning_rate, self.final_rate, self.weight_decay, self.final_weight_decay, self.clip_norm)
        if min(rates) < 0 or min(self.rate_clips, self.warmup_steps) < 0 or not 0 <= self.first_share <= 1:
            raise ValueError(f"schedule: rates, steps and norms are 0 or more, first_share lies in 0..1, not {self}")

    def rate(self, step: int, steps: int, clips: int) -> float:
        """The learning rate of a step, from 0, in a run of `steps` steps of `clips` clips."""
        top = self.learning_rate * (clips / self.rate_clips if self.rate_clips else 1.0)
        if step < self.warmup_steps:
            return top * (self.first_share + (1 - self.first_share) * (step + 1) / self.warmup_steps)
        done = (step - self.warmup_steps) / max(steps - self.warmup_steps, 1)
        return self.final_rate + (top - self.final_rate) * _cosine(done)

    def decay(self, step: int, steps: int) -> float:
        """The weight decay of a step."""
        return self.final_weight_decay + (self.weight_decay - self.final_weight_decay) * _cosine(step / steps)


def _cosine(progress: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def build_adamw(network: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    """AdamW over what may learn, in two groups: with weight decay, and without."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[parameter.ndim > 1 and "mask_token" not in name].append(parameter)
    listed: list[dict[str, Any]] = [
        {"params": members, "scale": 1.0, "decays": decays, "weight_decay": 0.0} for decays, members in groups.items()
    ]
    return torch.optim.AdamW(listed, lr=schedule.learning_rate, betas=(0.9, schedule.second_moment), fused=True)


def set_schedule(optimiser: torch.optim.Optimizer, rate: float, decay: float) -> None:
    """Give the groups a step's learning rate and weight decay."""
    set_rate(optimiser, rate)
    for group in optimiser.param_groups:
        group["weight_decay"] = decay if group["decays"] else 0.0
