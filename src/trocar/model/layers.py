"""The three layers that several parts of the network are built from."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """Linear layers of the widths `dims`, with an activation between them and none after the last.

    Args:
        dims: input width, hidden widths, output width.
        gelu: GELU as in the encoder, else ReLU as in the decoder.
    """

    def __init__(self, dims: tuple[int, ...], gelu: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(dims))
        self.activation = F.gelu if gelu else F.relu

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


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

    def forward(self, q: Tensor, k: Tensor, v: Tensor, places: Tensor | None = None) -> Tensor:
        """(B, T, dim) queries, (B, U, key_dim) keys and values -> (B, T, dim).

        `places` (B, U) is added to the attention that each query pays to each key, which is then normalised again.
        """
        q, k, v = self.split(self.q_proj(q)), self.split(self.k_proj(k)), self.split(self.v_proj(v))
        if places is None:
            seen = F.scaled_dot_product_attention(q, k, v)
        else:
            paid = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=-1)
            seen = (paid + places[:, None, None]).softmax(dim=-1) @ v
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out
