"""Linear layers in 8-bit integers, for CPUs: faster, at the price of masks that differ a little.

Weights are rounded once, with a scale for each output; activations at every call, with a scale and a zero point for the
whole tensor. Sums are exact (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018). It pays where the processor multiplies 8-bit integers faster than
floats, as those with VNNI do.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

LARGEST = 127
NARROWEST = 128  # inputs: below it rounding takes about as long as it saves, and costs most of the exactness
ENGINES = ("x86", "fbgemm")
KEYS_OF_MEMORIES = ".cross_attention.k_proj"  # computed once a memory, and kept
OF_IMAGES = ("image_encoder.", "vit.")
OF_OBJECTS = ("memory_attention.", "memory_encoder.")


class Int8Linear(nn.Linear):
    """A linear layer that computes in 8-bit integers. Its weights stay as they were, for saving and comparing.

    Args:
        layer: what it computes; its weights must not change any more.
        apart: whether the first dimension's rows are rounded each for itself, so that what one is does not depend on
            the others.
    """

    def __init__(self, layer: nn.Linear, apart: bool = False) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self._apart = apart
        self.weight, self.bias = layer.weight, layer.bias
        weight = layer.weight.detach().float()
        scale = (weight.abs().amax(dim=1) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():  # PyTorch has announced that it will go, and offers nothing in its place
            warnings.simplefilter("ignore", UserWarning)
            rounded = torch.quantize_per_channel(weight, scale.double(), zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(rounded, layer.bias.detach().float())

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        compute = torch.ops.quantized.linear_relu_dynamic if relu else torch.ops.quantized.linear_dynamic
        done: list[Tensor] = [compute(row, self._packed) for row in (x.split(1) if self._apart else (x,))]
        return done[0] if len(done) == 1 else torch.cat(done)


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C) vectors as (N, C) int8, each with a scale of its own, (N, 1)."""
    scale = (x.abs().amax(dim=1, keepdim=True) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
    return (x / scale).round_().to(torch.int8), scale


def int8_scores(queries: Tensor, keys: Tensor, scale: Tensor) -> Tensor:
    """(Q, T) products of (Q, C) queries with keys that are `rounded`: (T, C) and (T, 1)."""
    whole, own = rounded(queries)
    products: Tensor = torch._int_mm(whole, keys.T)
    return products.float().mul_(scale.T).mul_(own)


def to_int8(network: nn.Module) -> None:
    """Let image encoder, memory attention and memory encoder compute in 8-bit integers, in place.

    The network cannot be trained then.

    Raises:
        ValueError: the network is not on a CPU, or this build of PyTorch cannot do it.
    """
    weight = next(network.parameters())
    if weight.device.type != "cpu":
        raise ValueError(
            f'int8 is for CPUs and the network is on {weight.device}: use device="cpu", or another precision'
        )
    if torch.backends.quantized.engine not in ENGINES:
        raise ValueError(
            f"this build of PyTorch computes 8-bit layers with {torch.backends.quantized.engine!r}, not with "
            f"{' or '.join(ENGINES)}: use fp32"
        )
    for name, module in list(network.named_modules()):
        chosen = name.startswith(OF_IMAGES + OF_OBJECTS) and not name.endswith(KEYS_OF_MEMORIES)
        if chosen and type(module) is nn.Linear and module.in_features >= NARROWEST:
            network.set_submodule(name, Int8Linear(module, apart=name.startswith(OF_OBJECTS)))
