"""The layers that several parts of the network are built from, and the one place where a linear layer is computed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.int8 import Int8Linear

NARROW = 8  # channels
LARGE = 1 << 14  # numbers in a layer's output: below it the fused operator's own overhead is more than it saves


def linear(
    layer: nn.Linear, x: Tensor, then: Literal["none", "relu", "gelu"] = "none", plus: Tensor | None = None
) -> Tensor:
    """`layer` of (..., in), then an activation, or the sum with `plus` (..., out), a residual path.

    Without gradients a CPU does large ones in one go: PyTorch's own `linear` first writes the bias to where the product
    goes, and then reads and writes that once more for the activation and for the sum.
    """
    weight, bias = layer.weight, layer.bias
    alone = undisturbed(x) and x.dtype == weight.dtype == torch.float32
    large = x.numel() // layer.in_features * layer.out_features >= LARGE
    if _FUSED and alone and large and not isinstance(layer, Int8Linear):
        if plus is not None:
            summed: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, plus, weight, bias, "add")
            return summed
        done: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "none" if then == "gelu" else "")
        return done
    within = then == "relu" and isinstance(layer, Int8Linear)
    out: Tensor = layer(x, relu=True) if within else layer(x)
    match then:
        case "gelu":
            out = torch.ops.aten.gelu_(out) if alone else F.gelu(out)
        case "relu" if not within:
            out = out.relu_() if alone else out.relu()
    if plus is None:
        return out
    return out.add_(plus) if alone else plus + out


def undisturbed(x: Tensor) -> bool:
    """Whether ordinary arithmetic on a CPU is wanted: no gradients, no lower precision."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


# What `torch.compile` makes linear layers of on CPUs; not in every build of PyTorch.
_FUSED = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Kept:
    """What follows from weights and a size alone, kept until they change; on CPUs and where no gradients are wanted.

    Weights may change in any way, by training or by loading, so those that were used are compared with those that are
    there, which for small tables takes microseconds. It is not part of the weights that are saved.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[int, ...], tuple[Tensor, ...], Tensor] | None = None

    def __call__(self, make: Callable[..., Tensor], size: tuple[int, ...], *weights: Tensor) -> Tensor:
        """make(*size), which depends on `weights` and on nothing else."""
        if not undisturbed(weights[0]):
            return make(*size)
        made = self._made
        if made is None or made[0] != size or not all(map(_same, made[1], weights)):
            with torch.inference_mode(False), torch.no_grad():
                made = self._made = (size, tuple(weight.clone() for weight in weights), make(*size))
        return made[2]


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.weight) > NARROW or not undisturbed(x):
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        # PyTorch's kernel goes from cell to cell, which for so few channels takes four times as long
        centred = x - x.mean(dim=1, keepdim=True)
        scale = centred.square().mean(dim=1, keepdim=True).add_(self.eps).rsqrt_()
        return torch.addcmul(self.bias[:, None, None], centred.mul_(scale), self.weight[:, None, None])


class Mlp(nn.Module):
    """Linear layers of the widths `dims`, with an activation between them and none after the last.

    Args:
        dims: input width, hidden widths, output width.
        gelu: GELU as in the encoder, else ReLU as in the decoder.
    """

    def __init__(self, dims: tuple[int, ...], gelu: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(dims))
        self._then: Literal["gelu", "relu"] = "gelu" if gelu else "relu"

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """(..., first width) -> (..., last width), and the sum with `plus`."""
        *hidden, last = (layer for layer in self.layers if isinstance(layer, nn.Linear))
        for layer in hidden:
            x = linear(layer, x, self._then)
        return linear(last, x, plus=plus)


class Attention(nn.Module):
    """Multi-head attention with a projection for each of query, key, value and output.

    Args:
        dim: width of queries and output.
        heads: number of heads; must divide `inner_dim`.
        inner_dim: width inside the attention; `dim` when None.
        key_dim: width of keys and values; `dim` when None.
    """

    def __init__(self, dim: int, heads: int, inner_dim: int | None = None, key_dim: int | None = None) -> None:
        super().__init__()
        inner_dim, key_dim = inner_dim or dim, key_dim or dim
        self.heads = heads
        self.q_proj = nn.Linear(dim, inner_dim)
        self.k_proj = nn.Linear(key_dim, inner_dim)
        self.v_proj = nn.Linear(key_dim, inner_dim)
        self.out_proj = nn.Linear(inner_dim, dim)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, heads * c) -> (B, heads, T, c)."""
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, plus: Tensor | None = None, places: Tensor | None = None
    ) -> Tensor:
        """(B, T, dim) queries, (B, U, key_dim) keys and values -> (B, T, dim), and the sum with `plus`.

        `places` (B, U) is added to the attention that each query pays to each key, which is then normalised again.
        """
        q, k, v = (
            self.split(linear(self.q_proj, q)),
            self.split(linear(self.k_proj, k)),
            self.split(linear(self.v_proj, v)),
        )
        if places is None:
            seen = F.scaled_dot_product_attention(q, k, v)
        else:
            paid = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=-1)
            seen = (paid + places[:, None, None]).softmax(dim=-1) @ v
        return linear(self.out_proj, seen.transpose(1, 2).flatten(2), plus=plus)
