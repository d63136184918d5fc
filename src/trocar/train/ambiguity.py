"""Ambiguity-resilient learning (SAM2S: Liu et al. 2025, section 4.4): labels that are soft at the object's boundary.

The paper says: convolve the label with a 5 x 5 Gaussian of deviation 1 and hold a focal loss against it. What it leaves
open is a knob here, of which the default is what makes the idea work and the other what is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Ambiguity:
    """Soft labels.

    Args:
        on: whether labels are softened for the pixel loss.
        size: cells across the kernel, an odd number.
        sigma: its deviation, in cells.
        normalised: whether the kernel's weights are scaled to add up to 1. As written they are the values of the
            density, which add up to 0.982 for 5 x 5: a label then reaches 1 nowhere.
        border: what lies outside the image: "replicate" the pixels at its edge, so that they stay 1 where an object is
            cut off; "zeros" nothing, so that they do not.
        focal: how a pixel is weighed, with p its probability and y its label: "distance" by |p - y|^gamma, which is
            least at p = y (Li et al. 2020, quality focal loss); "usual" by (1 - p_t)^gamma with
            p_t = p y + (1 - p)(1 - y) (Lin et al. 2017), which is not. For hard labels both are the same.
        dice: whether the Dice loss and the actual IoU use the "hard" label or the "soft" one (IoU from one half up).
        at: "input": the kernel's cells are pixels of the network's input; "loss": cells of the map on which losses are
            taken, which are coarser.
        absent: where the object does not show, the soft label is 0 everywhere: "skip" the pixel loss there, as SAM 2
            does, or "learn" from it.
    """

    on: bool = False
    size: int = 5
    sigma: float = 1.0
    normalised: bool = True
    border: Literal["replicate", "zeros"] = "replicate"
    focal: Literal["distance", "usual"] = "distance"
    dice: Literal["hard", "soft"] = "hard"
    at: Literal["input", "loss"] = "input"
    absent: Literal["skip", "learn"] = "skip"

    def __post_init__(self) -> None:
        if self.size < 1 or self.size % 2 == 0 or self.sigma <= 0:
            raise ValueError(f"the kernel needs an odd size and a sigma above 0, not {self.size} and {self.sigma}")


def gaussian(settings: Ambiguity) -> Tensor:
    """(size, size) weights: the density of a Gaussian at whole steps, scaled to add up to 1 if asked for."""
    steps = torch.arange(settings.size, dtype=torch.float64) - settings.size // 2
    line = torch.exp(-(steps**2) / (2 * settings.sigma**2))
    kernel = torch.outer(line, line) / (2 * torch.pi * settings.sigma**2)
    return kernel / kernel.sum() if settings.normalised else kernel


def softened(label: Tensor, valid: Tensor, settings: Ambiguity) -> Tensor:
    """The label under the Gaussian.

    Args:
        label: (R, h, w) share of each cell that the object covers, 0..1.
        valid: (R, h, w) cells without a truth are 0: what is near them takes its value from the valid ones alone.

    Returns:
        (R, h, w) in 0..1.
    """
    kernel = gaussian(settings).to(label)
    margin = (settings.size // 2,) * 4
    ways: dict[str, str] = {"replicate": "replicate", "zeros": "constant"}

    def blurred(values: Tensor, way: str) -> Tensor:
        return F.conv2d(F.pad(values[:, None], margin, mode=way), kernel[None, None])[:, 0]

    known = blurred(valid.to(label), "replicate")
    seen = blurred(label * valid, ways[settings.border])
    return (seen * kernel.sum() / known.clamp(min=torch.finfo(label.dtype).eps)).clamp(0, 1)
