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
PARTS = ("image_encoder.", "vit.", "memory_attention.")


class Int8Linear(nn.Linear):
    """A linear layer that computes in 8-bit integers. Its weights stay as they were, for saving and comparing.

    Args:
        layer: what it computes; its weights must not change any more.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        weight = layer.weight.detach().float()
        scale = (weight.abs().amax(dim=1) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():  # PyTorch has announced that it will go, and offers nothing in its place
            warnings.simplefilter("ignore", UserWarning)
            rounded = torch.quantize_per_channel(weight, scale.double(), zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(rounded, layer.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed)
        return out


def to_int8(network: nn.Module) -> None:
    """Let image encoder and memory attention compute in 8-bit integers, in place; the network cannot be trained then.

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
        chosen = name.startswith(PARTS) and not name.endswith(KEYS_OF_MEMORIES)
        if chosen and type(module) is nn.Linear and module.in_features >= NARROWEST:
            network.set_submodule(name, Int8Linear(module))
