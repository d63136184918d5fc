"""Which frames of a clip an encoder sees, and how they are cut."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Frames = NDArray[np.uint8]


def frame_indices(length: int, frames: int, stride: int, views: int = 1) -> NDArray[np.intp]:
    """(views, frames) numbers of frames, from 0, of a clip that is `length` frames long.

    A view takes every `stride`-th frame; several views lie evenly over the clip, one in its middle (VideoMAE's test
    segments). A clip too short for that, or `stride` 0, gives frames spread over it from first to last.

    Raises:
        ValueError: a number is out of range.
    """
    if min(length, frames, views) < 1 or stride < 0:
        raise ValueError(f"a clip of {length} frames gives no {views} views of {frames} frames at stride {stride}")
    span = (frames - 1) * stride + 1
    if stride == 0 or span >= length:
        spread = np.linspace(0, length - 1, frames).round().astype(np.intp)
        return np.tile(spread, (views, 1))
    last = length - span
    begins = np.array([last // 2]) if views == 1 else np.linspace(0, last, views).round().astype(np.intp)
    return np.asarray(begins[:, None] + np.arange(frames) * stride, np.intp)


def square(image: Frames, side: int) -> Frames:
    """(side, side, 3): the middle of a picture (rows, columns, 3) whose shorter side is scaled to `side`."""
    rows, columns = image.shape[:2]
    if rows == columns == side:
        return image
    scale = side / min(rows, columns)
    size = max(side, round(columns * scale)), max(side, round(rows * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, size, interpolation=method)
    top, left = (size[1] - side) // 2, (size[0] - side) // 2
    return np.asarray(scaled[top : top + side, left : left + side], np.uint8)


def as_clips(pixels: Frames | Sequence[Frames], device: torch.device | str = "cpu") -> Tensor:
    """(B, T, 3, S, S) float in 0..1, as an encoder takes it, from (B, T, S, S, 3) uint8."""
    stacked = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return stacked.permute(0, 1, 4, 2, 3).float() / 255
