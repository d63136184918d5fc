"""What the user said, in the network's own frame of reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.geometry import Geometry
from trocar.track.features import NetworkInput
from trocar.track.track import FramePrompt


@dataclass(frozen=True, eq=False)
class PromptInput:
    """One object's prompt on one frame in network-input pixels.

    Args:
        points: (K, 2) as (x, y); box corners first.
        labels: (K,) 1 positive, 0 negative, 2 and 3 the corners of a box.
        previous: (s, s) logits of the mask to refine.
        mask: (S, S) bool, the object's mask itself; then there are no points.
    """

    points: Tensor
    labels: Tensor
    previous: Tensor | None = None
    mask: Tensor | None = None


def prompt_input(
    prompt: FramePrompt, geometry: Geometry, shown: NetworkInput, previous: Tensor | None, device: torch.device
) -> PromptInput:
    """Map a frame's prompt from source pixels to those of the network's square input.

    Args:
        prompt: what was said.
        geometry: of the source.
        shown: how the network sees frames.
        previous: (s, s) logits of the mask that clicks and boxes refine.
        device: where the tensors go.
    """
    corners = [(prompt.box.x0, prompt.box.y0), (prompt.box.x1, prompt.box.y1)] if prompt.box else []
    xy = np.array([*corners, *((point.x, point.y) for point in prompt.points)], np.float32).reshape(-1, 2)
    labels = [2, 3][: len(corners)] + [int(point.positive) for point in prompt.points]
    rows, columns = shown.extent(geometry.size)
    mask = None
    if prompt.mask is not None:
        soft = torch.from_numpy(prompt.mask)[None, None].float().to(device)
        soft = F.interpolate(soft, size=(rows, columns), mode="bilinear", antialias=True, align_corners=False)
        soft = F.pad(soft, (0, shown.side - columns, 0, shown.side - rows))
        mask, previous = soft[0, 0] >= 0.5, None
    points = torch.from_numpy(geometry.scaled(xy, (rows, columns))).to(device)
    return PromptInput(points, torch.tensor(labels, dtype=torch.long, device=device), previous, mask)
