"""Maps cut into square windows and put together again, for encoders that attend within windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def split_windows(x: Tensor, window: int, padding: Tensor | None = None) -> Tensor:
    """(B, H, W, C) -> (B * windows, window, window, C), padded with `padding` (C,), by default zeros."""
    _, h, w, c = x.shape
    if h % window or w % window:
        if padding is None:
            x = F.pad(x, (0, 0, 0, -w % window, 0, -h % window))
        else:
            x = _padded(x, -h % window, -w % window, padding)
    x = torch.unflatten(torch.unflatten(x, 2, (-1, window)), 1, (-1, window))
    return x.transpose(2, 3).reshape(-1, window, window, c)


def _padded(x: Tensor, below: int, right: int, padding: Tensor) -> Tensor:
    b, h, w, c = x.shape
    padded = x.new_empty(b, h + below, w + right, c)
    padded[:, :h, :w] = x
    padded[:, :h, w:] = padding
    padded[:, h:] = padding
    return padded


def join_windows(x: Tensor, batch: int, height: int, width: int) -> Tensor:
    """The inverse of `split_windows`, padding cut off: (batch, height, width, C)."""
    window = x.shape[1]
    x = x.reshape(batch, -(-height // window), -(-width // window), window, window, x.shape[-1])
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :height, :width]
