"""Which parts of a network learn: whole, not at all, or by low-rank changes of their matrices.

LoRA (Hu et al. 2021) is forty lines here and no library: `peft` wraps the network in its own class, brings transformers
and accelerate as dependencies, and renames weights. PyTorch's parametrisations leave the layers in place, so the code
that runs them does not know, and merging is theirs as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trocar.model import Network

Part = Literal["image_encoder", "prompt_encoder", "mask_decoder", "memory", "semantic_head"]
PREFIXES: dict[str, tuple[str, ...]] = {
    "image_encoder": ("image_encoder.", "vit."),
    "prompt_encoder": ("prompt_encoder.",),
    "mask_decoder": ("mask_decoder.",),
    "semantic_head": ("semantic_head.",),
}


@dataclass(frozen=True)
class Parts:
    """What learns.

    Args:
        frozen: parts whose weights stay as they are: "image_encoder", "prompt_encoder", "mask_decoder",
            "semantic_head", and "memory", which is all that is left: memory attention and encoder, object pointers.
        lora_rank: above 0, the matrices of `lora` learn by the product of two thin ones of this rank alone, and all
            else of these parts is frozen.
        lora_scale: factor of that product (alpha / rank of the paper).
        lora: parts that learn so.
    """

    frozen: tuple[Part, ...] = ()
    lora_rank: int = 0
    lora_scale: float = 1.0
    lora: tuple[Part, ...] = ("image_encoder",)

    def __post_init__(self) -> None:
        if self.lora_rank < 0:
            raise ValueError(f"parts.lora_rank is 0 for none, or above, not {self.lora_rank}")
        both = sorted(set(self.frozen) & set(self.lora))
        if self.lora_rank and both:
            raise ValueError(f"parts.frozen and parts.lora both name {', '.join(both)}: leave it in one of them")


class LowRank(nn.Module):
    """A matrix (out, in) plus scale * up @ down, of which only up (out, rank) and down (rank, in) learn.

    `up` begins at 0, so that nothing changes at first.
    """

    def __init__(self, shape: tuple[int, int], rank: int, scale: float) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, shape[1]))
        self.up = nn.Parameter(torch.zeros(shape[0], rank))
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down)


def part_of(name: str) -> Part:
    """The part that a parameter belongs to, by its name in the network."""
    for part, prefixes in PREFIXES.items():
        if name.startswith(prefixes):
            return part  # type: ignore[return-value]
    return "memory"


def prepare_parts(network: Network, parts: Parts, seed: int = 0) -> None:
    """Freeze parts and give others their low-rank changes.

    Call it once the network has the weights to begin with, and before an optimiser is made: files of weights do not
    fit a network that has low-rank changes until they are merged.

    Args:
        seed: of the first low-rank weights.
    """
    still = {*parts.frozen, *(parts.lora if parts.lora_rank else ())}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(part_of(name) not in still)
    if parts.lora_rank:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in list(_linear_layers(network, parts.lora)):
                shape = (layer.out_features, layer.in_features)
                change = LowRank(shape, min(parts.lora_rank, *shape), parts.lora_scale).to(layer.weight.device)
                parametrize.register_parametrization(layer, "weight", change)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError("all parts of the network are frozen: leave one out of parts.frozen")


def merge_parts(network: Network) -> None:
    """Put low-rank changes into the matrices that they change, in place: the network is a plain one again."""
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def _linear_layers(network: Network, parts: tuple[Part, ...]) -> Iterator[nn.Linear]:
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and part_of(f"{name}.") in parts:
            yield module
