"""The image encoder: Hiera (Ryali et al. 2023) with windowed position codes, and a two-level feature pyramid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import Kept, Mlp, linear, undisturbed
from trocar.model.shares import take_share
from trocar.model.windows import join_windows, split_windows

CELLS_AT_ONCE = 2048  # on a CPU: what they become in an MLP of stage 1 is 3 MB


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
    """Largest value of each 2 x 2 cells of (B, H, W, C) maps."""
    rows = torch.maximum(x[:, ::2], x[:, 1::2])
    return torch.maximum(rows[:, :, ::2], rows[:, :, 1::2])


class WindowAttention(nn.Module):
    """Self-attention inside each window; a pooling block halves the queries."""

    def __init__(self, plan: _BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        self.qkv = nn.Linear(plan.dim_in, plan.dim_out * 3)
        self.proj = nn.Linear(plan.dim_out, plan.dim_out)

    def forward(self, x: Tensor, plus: Tensor) -> Tensor:
        """(B, H, W, dim_in) maps or windows -> (B, H or H/2, W or W/2, dim_out), and the sum with `plus`."""
        qkv = linear(self.qkv, x)
        cut = self._needs_cutting(*x.shape[1:3])
        if cut:  # a cell of padding is a zero, of which the layer makes its bias
            qkv = split_windows(qkv, self.plan.window, self.qkv.bias)
        q, k, v = qkv.chunk(3, dim=-1)
        if self.plan.pools:
            q = _pool(q)
        height, width = q.shape[1:3]
        q, k, v = (torch.unflatten(t.flatten(1, 2), -1, (self.plan.heads, -1)).transpose(1, 2) for t in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).unflatten(1, (height, width))
        if cut:
            mixed = join_windows(mixed, *plus.shape[:3])
        return linear(self.proj, mixed, plus=plus)

    def _needs_cutting(self, height: int, width: int) -> bool:
        return self.plan.window not in (0, height) or height != width


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
        """(B, H, W, dim_in) maps, or windows that are cut already -> (B, H or H/2, W or W/2, dim_out)."""
        normed = self.norm1(x)
        if self.shortcut is not None:
            x = _pool(linear(self.shortcut, normed))
        x = self.attention(normed, x)
        out: Tensor = self.mlp(self.norm2(x), x)
        return out


class ImageEncoder(nn.Module):
    """Images to maps of stride 4, 8 and 16. Only the stride-16 map receives the deepest stage from above."""

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
        self._kept_positions = Kept()

    def forward(self, images: Tensor, *narrow: nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
        """(F, 3, S, S) -> (F, D/8, S/4, S/4), (F, D/4, S/8, S/8), (F, D, S/16, S/16).

        Args:
            images: normalised.
            narrow: the mask decoder's 1 x 1 convolutions of the two finest maps: two linear layers in a row are one.
        """
        frames, side = len(images), images.shape[-1] // 4
        x = self.patch(images.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        x = x + self._kept_positions(self._positions, (side,), self.position, self.window_position).to(x.dtype)
        levels: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            take_share()
            x = _in_cache(block, _windowed(x, block.plan.window, frames, side))
            if block.plan.pools:
                side //= 2
            if i in self.stage_ends:
                lateral = self.laterals[3 - len(levels)]
                assert isinstance(lateral, nn.Conv2d)
                weight, bias = _one_by_one(lateral, *narrow[len(levels) : len(levels) + 1])
                levels.append(_windowed(F.linear(x, weight, bias), 0, frames, side))
        stride4, stride8, stride16, stride32 = levels
        cells = stride16.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)) + stride32[:, :, None, :, None]
        stride16 = cells.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return stride4.permute(0, 3, 1, 2).contiguous(), stride8.permute(0, 3, 1, 2).contiguous(), stride16

    def prepare_training(self) -> None:
        """Draw the coarse maps small: in a fresh network they would drown the position codes that prompts work by."""
        for lateral in (self.laterals[2], self.laterals[3]):
            assert isinstance(lateral, nn.Conv2d)
            lateral.weight.data *= 0.2

    def _positions(self, side: int) -> Tensor:
        """(1, side, side, C): the stored map resized, plus the window's own map repeated (Bolya et al. 2023)."""
        whole = F.interpolate(self.position.float(), size=(side, side), mode="bicubic")
        repeats = side // self.window_position.shape[-1]
        return (whole + self.window_position.tile(repeats, repeats)).permute(0, 2, 3, 1).contiguous()


def _windowed(x: Tensor, window: int, frames: int, side: int) -> Tensor:
    """(B, h, w, C) maps or windows of `side` x `side` maps -> windows of another size, or whole maps again for 0.

    Where the windows do not fill the map they are left to the block, which pads: then these are maps too. Neighbouring
    blocks mostly have the same windows, as pooling halves both, so that nothing is moved between them.
    """
    if side % (window or side):
        window = 0
    if x.shape[1] == (window or side):
        return x
    if x.shape[1] != side:
        x = join_windows(x, frames, side, side)
    return split_windows(x, window) if window else x


def _in_cache(block: Block, x: Tensor) -> Tensor:
    """The block on (B, h, w, C): on a CPU a few windows at a time, so that what they become stays in its cache."""
    if not undisturbed(x):
        out: Tensor = block(x)
        return out
    parts = x.split(max(1, CELLS_AT_ONCE // (x.shape[1] * x.shape[2])))
    done = [block(part) for part in parts]
    return done[0] if len(done) == 1 else torch.cat(done)


def _one_by_one(*convs: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the linear layer that 1 x 1 convolutions are, one after the other."""
    weight, bias = convs[0].weight.flatten(1), convs[0].bias
    assert bias is not None
    for conv in convs[1:]:
        further = conv.weight.flatten(1)
        bias = F.linear(bias, further, conv.bias)
        weight = further @ weight
    return weight, bias
