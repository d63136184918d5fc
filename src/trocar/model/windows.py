"""Maps cut into square windows and put together again, for encoders that attend within windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def split_windows(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) -> (B * windows, window, window, C), padded with zeros to whole windows."""
    _, h, w, c = x.shape
    if h % window or w % window:
        x = F.pad(x, (0, 0, 0, -w % window, 0, -h % window))
    x = torch.unflatten(torch.unflatten(x, 2, (-1, window)), 1, (-1, window))
    return x.transpose(2, 3).reshape(-1, window, window, c)


def join_windows(x: Tensor, batch: int, height: int, width: int) -> Tensor:
    """The inverse of `split_windows`, padding cut off: (batch, height, width, C)."""
    window = x.shape[1]
    x = x.reshape(batch, -(-height // window), -(-width // window), window, window, x.shape[-1])
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :height, :width]
