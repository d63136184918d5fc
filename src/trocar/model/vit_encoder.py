"""SAM's image encoder: a plain ViT with windows and relative positions (Li et al. 2022), and a two-layer neck."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import ChannelNorm, Mlp
from trocar.model.windows import join_windows, split_windows

PATCH = 16  # pixels


class RelativeAttention(nn.Module):
    """Self-attention over a map; a learned vector for each distance along each axis adds to the scores.

    The two axes are decomposed as in MViTv2 (Li et al. 2022): the query meets one vector for the distance in rows and
    one for that in columns.

    Args:
        dim: channels.
        heads: number of heads; must divide `dim`.
        side: of the map at the size that the weights were trained at, in cells.
    """

    def __init__(self, dim: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.row_codes = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))
        self.column_codes = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> the same."""
        height, width = x.shape[1:3]
        parts = self.qkv(x.flatten(1, 2)).chunk(3, dim=-1)
        q, k, v = (torch.unflatten(part, -1, (self.heads, -1)).transpose(1, 2) for part in parts)
        placed = torch.unflatten(q, 2, (height, width))
        rows = torch.einsum("bnhwc,hkc->bnhwk", placed, _by_distance(self.row_codes, height))
        columns = torch.einsum("bnhwc,wkc->bnhwk", placed, _by_distance(self.column_codes, width))
        bias = (rows[..., None] + columns[..., None, :]).flatten(4).flatten(2, 3)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return torch.unflatten(out, 1, (height, width))


def _by_distance(codes: Tensor, side: int) -> Tensor:
    """(2 * trained side - 1, c) -> (side, side, c): the vector for query cell i and key cell j, resized if need be."""
    if len(codes) != 2 * side - 1:
        codes = F.interpolate(codes.T[None], size=2 * side - 1, mode="linear")[0].T
    cells = torch.arange(side, device=codes.device)
    return codes[cells[:, None] - cells + side - 1]


class VitBlock(nn.Module):
    """Attention within windows, or over the whole map where `window` is 0, then an MLP."""

    def __init__(self, config: NetworkConfig, window: int) -> None:
        super().__init__()
        dim = config.embed_dim
        self.window = window
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = RelativeAttention(dim, config.num_heads, window or config.position_size)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp((dim, dim * 4, dim), gelu=True)

    def forward(self, x: Tensor) -> Tensor:
        """(F, H, W, C) -> the same."""
        normed = self.norm1(x)
        if self.window:
            attended = join_windows(self.attention(split_windows(normed, self.window)), *x.shape[:3])
        else:
            attended = self.attention(normed)
        x = x + attended
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VitEncoder(nn.Module):
    """Images to one D-channel map of stride 16."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim, side = config.embed_dim, config.position_size
        (depth,), (window,) = config.blocks, config.windows
        self.patch = nn.Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)
        self.position = nn.Parameter(torch.empty(1, side, side, dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(VitBlock(config, 0 if i in config.global_blocks else window) for i in range(depth))
        self.neck_conv1 = nn.Conv2d(dim, config.hidden_dim, 1, bias=False)
        self.neck_norm1 = ChannelNorm(config.hidden_dim)
        self.neck_conv2 = nn.Conv2d(config.hidden_dim, config.hidden_dim, 3, padding=1, bias=False)
        self.neck_norm2 = ChannelNorm(config.hidden_dim)

    def forward(self, images: Tensor) -> Tensor:
        """(F, 3, S, S) -> (F, D, S/16, S/16)."""
        x = self.patch(images).permute(0, 2, 3, 1)
        x = x + self._positions(x.shape[1], x.shape[2]).to(x.dtype)
        for block in self.blocks:
            x = block(x)
        x = self.neck_norm1(self.neck_conv1(x.permute(0, 3, 1, 2)))
        out: Tensor = self.neck_norm2(self.neck_conv2(x))
        return out

    def _positions(self, height: int, width: int) -> Tensor:
        """(1, H, W, C): the stored map, resized for inputs of another size than it was trained at."""
        if self.position.shape[1:3] == (height, width):
            return self.position
        stored = self.position.float().permute(0, 3, 1, 2)
        return F.interpolate(stored, size=(height, width), mode="bicubic").permute(0, 2, 3, 1)
