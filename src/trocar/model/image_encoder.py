"""The image encoder: Hiera (Ryali et al. 2023) with windowed position codes, and a two-level feature pyramid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import Mlp
from trocar.model.windows import join_windows, split_windows


@dataclass(frozen=True)
class _BlockPlan:
    """One block: widths in and out, heads, window (0 for the whole map), and whether it halves the map."""

    dim_in: int
    dim_out: int
    heads: int
    window: int
    pools: bool


def _plan_blocks(config: NetworkConfig) -> list[_BlockPlan]:
    """The first block of a stage pools and still uses the window of the stage before, as its keys lie on that map."""
    plans: list[_BlockPlan] = []
    dim_in = config.embed_dim
    for stage, (count, dim) in enumerate(zip(config.blocks, config.stage_dims, strict=True)):
        for i in range(count):
            pools = i == 0 and stage > 0
            window = 0 if len(plans) in config.global_blocks else config.windows[stage - 1 if pools else stage]
            plans.append(_BlockPlan(dim_in, dim, config.num_heads * 2**stage, window, pools))
            dim_in = dim
    return plans


def _pool(x: Tensor) -> Tensor:
    """Largest value of each 2 x 2 cells of a (B, H, W, C) map."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class WindowAttention(nn.Module):
    """Self-attention inside each window; a pooling block halves the queries."""

    def __init__(self, plan: _BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        self.qkv = nn.Linear(plan.dim_in, plan.dim_out * 3)
        self.proj = nn.Linear(plan.dim_out, plan.dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim_in) -> (B, H or H/2, W or W/2, dim_out)."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.plan.pools:
            q = _pool(q)
        height, width = q.shape[1:3]
        q, k, v = (torch.unflatten(t.flatten(1, 2), -1, (self.plan.heads, -1)).transpose(1, 2) for t in (q, k, v))
        out: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return torch.unflatten(out, 1, (height, width))


class Block(nn.Module):
    """A Hiera block: attention, then an MLP, each behind a norm and beside a residual path."""

    def __init__(self, plan: _BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        self.norm1 = nn.LayerNorm(plan.dim_in, eps=1e-6)
        self.attention = WindowAttention(plan)
        self.norm2 = nn.LayerNorm(plan.dim_out, eps=1e-6)
        self.mlp = Mlp((plan.dim_out, plan.dim_out * 4, plan.dim_out), gelu=True)
        self.shortcut = nn.Linear(plan.dim_in, plan.dim_out) if plan.pools else None

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.shortcut is not None:
            x = _pool(self.shortcut(normed))
        if self.plan.window:
            attended = self.attention(split_windows(normed, self.plan.window))
            attended = join_windows(attended, *x.shape[:3])
        else:
            attended = self.attention(normed)
        x = x + attended
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class ImageEncoder(nn.Module):
    """Images to D-channel maps of stride 4, 8 and 16. Only the stride-16 map receives the deepest stage from above."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, config.embed_dim, kernel_size=7, stride=4, padding=3)
        side, window = config.position_size, config.windows[0]
        self.position = nn.Parameter(torch.empty(1, config.embed_dim, side, side))
        self.window_position = nn.Parameter(torch.empty(1, config.embed_dim, window, window))
        for table in (self.position, self.window_position):
            nn.init.trunc_normal_(table, std=0.02)
        self.blocks = nn.ModuleList(Block(plan) for plan in _plan_blocks(config))
        self.stage_ends = {sum(config.blocks[: i + 1]) - 1 for i in range(4)}
        # deepest stage first, the order in which every published checkpoint numbers them
        self.laterals = nn.ModuleList(nn.Conv2d(dim, config.hidden_dim, 1) for dim in reversed(config.stage_dims))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(F, 3, S, S) -> (F, D, S/4, S/4), (F, D, S/8, S/8), (F, D, S/16, S/16)."""
        x = self.patch(images).permute(0, 2, 3, 1)
        x = x + self._positions(x.shape[1], x.shape[2]).to(x.dtype)
        levels: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                levels.append(self.laterals[3 - len(levels)](x.permute(0, 3, 1, 2)))
        stride4, stride8, stride16, stride32 = levels
        return stride4, stride8, stride16 + F.interpolate(stride32, scale_factor=2.0, mode="nearest")

    def prepare_training(self) -> None:
        """Draw the coarse maps small: in a fresh network they would drown the position codes that prompts work by."""
        for lateral in (self.laterals[2], self.laterals[3]):
            assert isinstance(lateral, nn.Conv2d)
            lateral.weight.data *= 0.2

    def _positions(self, height: int, width: int) -> Tensor:
        """(1, H, W, C): the stored map resized, plus the window's own map repeated (Bolya et al. 2023)."""
        whole = F.interpolate(self.position.float(), size=(height, width), mode="bicubic")
        window = self.window_position.shape[-1]
        return (whole + self.window_position.tile(height // window, width // window)).permute(0, 2, 3, 1)
