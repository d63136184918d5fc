"""Position codes: sine maps and sine codes of a number, rotary codes, and their caches.

Tables that depend on the size only are built once for each size and device, as ordinary tensors even when the first
caller is in inference mode, since training may use them later in the same process.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

TEMPERATURE = 10000.0


def _wavelengths(count: int, device: torch.device) -> Tensor:
    """(count,) wavelengths in which each pair shares one."""
    index = torch.arange(count, dtype=torch.float32, device=device)
    return TEMPERATURE ** (2 * (index // 2) / count)


@lru_cache(maxsize=64)
def sine_map(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """The 2-D sine code of a map, (channels, height, width) float32: the first half codes rows, the second columns.

    Coordinates run from 1 and are scaled so that the last row and column are 2 pi (DETR; SAM 2's image and memory
    positions).
    """

    def axis(count: int) -> Tensor:
        place = torch.arange(1, count + 1, dtype=torch.float32, device=device)
        angle = (place / (count + 1e-6) * (2 * math.pi))[:, None] / _wavelengths(channels // 2, device)
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

    with torch.inference_mode(False), torch.no_grad():
        rows = axis(height)[:, None].expand(-1, width, -1)
        columns = axis(width)[None].expand(height, -1, -1)
        return torch.cat((rows, columns), dim=2).permute(2, 0, 1).contiguous()


def sine_code(value: Tensor, channels: int) -> Tensor:
    """The sine code of numbers, (...) -> (..., channels): all sines, then all cosines."""
    angle = value.float()[..., None] / _wavelengths(channels // 2, value.device)
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


@lru_cache(maxsize=64)
def rotary_table(channels: int, height: int, width: int, device: torch.device, block: int = 1) -> Tensor:
    """Axial rotary codes, (T, channels / 2) complex64: half the pairs turn with x, half with y.

    T is height * width, or with `block` the number of blocks of so many cells a side, which turn by their centres.
    """
    with torch.inference_mode(False), torch.no_grad():
        rate = TEMPERATURE ** -(torch.arange(0, channels, 4, dtype=torch.float32, device=device) / channels)
        columns, rows = _centres(width, block, device), _centres(height, block, device)
        x, y = columns.repeat(len(rows)), rows.repeat_interleave(len(columns))
        angle = torch.cat((torch.outer(x, rate), torch.outer(y, rate)), dim=1)
        return torch.polar(torch.ones_like(angle), angle)


def _centres(cells: int, block: int, device: torch.device) -> Tensor:
    """Where blocks of cells lie along one side; the last one may hold fewer."""
    places = torch.arange(cells, dtype=torch.float32, device=device)
    return torch.stack([part.mean() for part in places.split(block)])


@lru_cache(maxsize=64)
def log_block_cells(height: int, width: int, block: int, device: torch.device) -> Tensor:
    """(T,) logarithm of the number of cells in each block of a map."""
    with torch.inference_mode(False), torch.no_grad():
        rows, columns = (
            torch.tensor([min(block, cells - start) for start in range(0, cells, block)], device=device)
            for cells in (height, width)
        )
        return torch.outer(rows, columns).flatten().float().log()


def pairs(x: Tensor) -> Tensor:
    """Neighbouring channel pairs of (..., C) as (..., C / 2) complex64, of float64 complex128."""
    return torch.view_as_complex(torch.unflatten(x.to(torch.promote_types(x.dtype, torch.float32)), -1, (-1, 2)))


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of (..., T, C) by the angles of a (T, C / 2) table."""
    return torch.view_as_real(pairs(x) * table).flatten(-2).to(x.dtype)
