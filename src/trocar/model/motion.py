"""Carrying a mask from one frame to another along the motion between them, as far as that motion can be trusted.

Optical flow is OpenCV's DIS (Kroeger et al., ECCV 2016): each pixel of a frame looks up where it was on the other one.
Where the picture that comes along differs from what is there, as behind a cut or an occluder, a mask's logits shrink
towards 0, which says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

VIEW_STRIDE = 2  # a view's cells a side of the input; at 4 masks of thin things get lost
TRUST_GREY = 12.0  # grey levels of mean difference at which trust falls to 1/e
TRUST_WINDOW = 9  # cells a side over which differences are averaged
_CONTRAST = 255 * 0.226  # grey levels of one unit of a normalised image (ImageNet's mean deviation)
_MIDDLE = 255 * 0.449


def frame_views(images: Tensor) -> Tensor:
    """(F, 3, S, S) normalised images -> (F, S / 2, S / 2) uint8 grey pictures on the CPU, to find motion between."""
    grey = F.avg_pool2d(images.detach().float().mean(dim=1), VIEW_STRIDE)
    return (grey * _CONTRAST + _MIDDLE).round().clamp(0, 255).byte().cpu()


def carried_masks(masks: Tensor, then: Sequence[Tensor], now: Sequence[Tensor]) -> Tensor:
    """Masks of one frame each as they should look on another one; differentiable in the masks.

    Args:
        masks: (R, 1, s, s) logits.
        then: R views, see `frame_views`, of the frames that the masks are of.
        now: R views of the frames they are wanted on.
    """
    moved, trust = moved_masks(masks, then, now)
    return (moved * trust).to(masks.dtype)


def moved_masks(masks: Tensor, then: Sequence[Tensor], now: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The same without doubt: logits that keep their size, (R, 1, s, s) float32, and (R, 1, s, s) trust, 0 to 1."""
    found: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    side = masks.shape[-1]
    ways = []
    for before, after in zip(then, now, strict=True):
        key = (before.data_ptr(), after.data_ptr())  # objects of a frame share its motion
        if key not in found:
            found[key] = _way_back(before.cpu().numpy(), after.cpu().numpy(), side)
        ways.append(found[key])
    grid = torch.stack([way for way, _ in ways]).to(masks.device)
    trust = torch.stack([trust for _, trust in ways]).to(masks.device)
    return F.grid_sample(masks.float(), grid, padding_mode="border", align_corners=False), trust[:, None]


def _way_back(then: NDArray[np.uint8], now: NDArray[np.uint8], side: int) -> tuple[Tensor, Tensor]:
    """Where each cell of a (side, side) mask comes from, (side, side, 2) in -1..1, and how sure that is, in 0..1."""
    cells = len(now)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # No flow to start from: OpenCV's stubs forget that None is allowed, and zeros would start a different search.
    steps = flow.calc(now, then, None)  # type: ignore[call-overload]
    there = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), axis=-1).astype(np.float32) + steps
    seen = cv2.remap(then, there[..., 0], there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.blur(cv2.absdiff(seen, now).astype(np.float32), (TRUST_WINDOW, TRUST_WINDOW))
    sure = cv2.resize(np.exp(-difference / TRUST_GREY), (side, side), interpolation=cv2.INTER_AREA)
    place = cv2.resize((there + 0.5) * (2 / cells) - 1, (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(place), torch.from_numpy(sure)
