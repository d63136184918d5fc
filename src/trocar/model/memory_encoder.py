"""The memory encoder: a frame's features and its mask become a spatial memory (SAM 2, section 4)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import ChannelNorm, linear
from trocar.model.rows import by_row, goes_by_row

MASK_SCALE, MASK_BIAS = 20.0, -10.0  # the release maps probabilities 0..1 to -10..10 before the convolutions
FUSER_BLOCKS = 2
LAYER_SCALE = 0.1  # large enough that the blocks take part from the first step when training from scratch


class FuserBlock(nn.Module):
    """A ConvNeXt block (Liu et al. 2022)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = ChannelNorm(dim)
        self.linear1, self.linear2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.depthwise(x)).permute(0, 2, 3, 1)
        inner = self.scale * linear(self.linear2, linear(self.linear1, inner, "gelu"))
        out: Tensor = x + inner.permute(0, 3, 1, 2)
        return out


class MemoryEncoder(nn.Module):
    """Mask downsampled by 16, added to the projected features, fused, and narrowed to `memory_dim` channels."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = (1, 4, 16, 64, 256)
        self.mask_convs = nn.ModuleList(
            nn.Conv2d(a, b, kernel_size=3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        self.mask_norms = nn.ModuleList(ChannelNorm(width) for width in widths[1:])
        self.mask_projection = nn.Conv2d(widths[-1], config.hidden_dim, 1)
        self.feature_projection = nn.Conv2d(config.hidden_dim, config.hidden_dim, 1)
        self.fuser = nn.Sequential(*(FuserBlock(config.hidden_dim) for _ in range(FUSER_BLOCKS)))
        self.out_projection = nn.Conv2d(config.hidden_dim, config.memory_dim, 1)
        self.absent: nn.Parameter | None = None
        if config.absent_memory:
            self.absent = nn.Parameter(torch.empty(config.memory_dim))
            nn.init.trunc_normal_(self.absent[None], std=0.02)

    def forward(self, stride16: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        """(R or 1, D, h, w), (R, 1, 16h, 16w) in 0..1, (R,) bool -> (R, memory_dim, h, w)."""
        features = self.feature_projection(stride16)
        if goes_by_row(features):
            rows = features.expand(len(mask), -1, -1, -1)
            memory = torch.cat(by_row(lambda row: self._fuse(rows[row : row + 1], mask[row : row + 1]), len(rows)))
        else:
            memory = self._fuse(features, mask)
        if self.absent is not None:
            memory = memory + (~present).to(memory.dtype)[:, None, None, None] * self.absent[:, None, None]
        return memory

    def _fuse(self, features: Tensor, mask: Tensor) -> Tensor:
        x = mask.to(features.dtype) * MASK_SCALE + MASK_BIAS
        for conv, norm in zip(self.mask_convs, self.mask_norms, strict=True):
            x = F.gelu(norm(conv(x)))
        memory: Tensor = self.out_projection(self.fuser(features + self.mask_projection(x)))
        return memory
