"""Carrying a mask from one frame to another along the motion between them, as far as that motion can be trusted.

Optical flow is OpenCV's DIS (Kroeger et al., ECCV 2016): each pixel of a frame looks up where it was on the other one.
Where the picture that comes along differs from what is there, as behind a cut or an occluder, the motion is not to be
trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

UTTER = 20.0  # doubt; with more, powers of trust are no normal numbers any more, and slow to multiply
_CONTRAST = 255 * 0.226  # grey levels of one unit of a normalised image (ImageNet's mean deviation)
_MIDDLE = 255 * 0.449


@dataclass(frozen=True)
class Search:
    """How motion is looked for, and what makes it doubtful.

    Args:
        stride: pixels of a view a side of the cells between which it is looked for; time grows with their number.
        window: cells a side over which differences are averaged.
        tolerated: grey levels of difference that say nothing.
        scale: grey levels beyond those at which trust falls to 1/e.
        astray: cells by which the way there and back may miss its start until trust falls to 1/e. Infinite: nobody
            looks, which halves the work.
    """

    stride: int
    window: int
    tolerated: float
    scale: float
    astray: float = math.inf


def frame_views(images: Tensor) -> Tensor:
    """(F, 3, S, S) normalised images -> (F, S, S) uint8 grey pictures on the CPU, to find motion between."""
    grey = images.detach().float().mean(dim=1)
    return (grey * _CONTRAST + _MIDDLE).round().clamp(0, 255).byte().cpu()


def moved_masks(masks: Tensor, then: Sequence[Tensor], now: Sequence[Tensor], search: Search) -> tuple[Tensor, Tensor]:
    """Masks of one frame each as they should look on another one, and how far they are to be trusted.

    Args:
        masks: (R, 1, s, s) logits; differentiable in these.
        then: R views, see `frame_views`, of the frames that the masks are of.
        now: R views of the frames they are wanted on.
        search: for motion between them.

    Returns:
        (R, 1, s, s) float32 logits, and trust, 0 to 1, of the same shape.
    """
    found: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    side = masks.shape[-1]
    ways = []
    for before, after in zip(then, now, strict=True):
        key = (before.data_ptr(), after.data_ptr())  # objects of a frame share its motion
        if key not in found:
            found[key] = _way_back(_cells(before, search.stride), _cells(after, search.stride), side, search)
        ways.append(found[key])
    grid = torch.stack([way for way, _ in ways]).to(masks.device)
    trust = torch.stack([trust for _, trust in ways]).to(masks.device)
    return F.grid_sample(masks.float(), grid, padding_mode="border", align_corners=False), trust[:, None]


def _cells(view: Tensor, stride: int) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = view.cpu().numpy()
    if stride == 1:
        return picture
    side = len(picture) // stride
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _way_back(then: NDArray[np.uint8], now: NDArray[np.uint8], side: int, search: Search) -> tuple[Tensor, Tensor]:
    """Where each cell of a (side, side) mask comes from, (side, side, 2) in -1..1, and how sure that is, in 0..1."""
    cells = len(now)
    here = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), axis=-1).astype(np.float32)
    steps = _flow(now, then)
    there = here + steps
    difference = cv2.absdiff(_looked_up(then, there), now).astype(np.float32)
    doubt = _averaged(np.maximum(difference - search.tolerated, 0), search.window) / search.scale
    if math.isfinite(search.astray):
        missed = np.linalg.norm(steps + _looked_up(_flow(then, now), there), axis=-1)
        doubt += _averaged(missed.astype(np.float32), search.window) / search.astray
    smooth = cv2.INTER_AREA if side < cells else cv2.INTER_LINEAR
    place = cv2.resize((there + 0.5) * (2 / cells) - 1, (side, side), interpolation=smooth)
    sure = cv2.resize(np.exp(-np.minimum(doubt, UTTER)), (side, side), interpolation=smooth)
    return torch.from_numpy(place), torch.from_numpy(sure)


def _flow(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(side, side, 2): how far each cell of one picture has to go, right and down, to its place on the other."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # No flow to start from: OpenCV's stubs forget that None is allowed, and zeros would start a different search.
    return np.asarray(search.calc(here, there, None), np.float32)  # type: ignore[call-overload]


def _looked_up(picture: NDArray[np.uint8] | NDArray[np.float32], places: NDArray[np.float32]) -> cv2.typing.MatLike:
    return cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _averaged(values: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(values, (window, window)), np.float32)
