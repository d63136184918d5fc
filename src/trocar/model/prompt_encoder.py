"""The prompt encoder: points, box corners and a rough mask become tokens and a map (SAM, Kirillov et al. 2023)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import ChannelNorm
from trocar.model.tensors import PromptTensors

KINDS = 4  # negative click, positive click, a box's upper left and its lower right corner
MASK_WIDTHS = (4, 16)


class PromptEncoder(nn.Module):
    """Random Fourier positions with a learned code for each kind of point; small convolutions for masks."""

    frequencies: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.register_buffer("frequencies", torch.randn(2, dim // 2))
        self.point_codes = nn.ParameterList(nn.Parameter(torch.randn(1, dim)) for _ in range(KINDS))
        self.not_a_point = nn.Parameter(torch.randn(1, dim))
        self.no_mask = nn.Parameter(torch.empty(1, dim))
        nn.init.trunc_normal_(self.no_mask, std=0.02)
        narrow, wide = MASK_WIDTHS
        self.mask_conv1, self.mask_norm1 = nn.Conv2d(1, narrow, 2, stride=2), ChannelNorm(narrow)
        self.mask_conv2, self.mask_norm2 = nn.Conv2d(narrow, wide, 2, stride=2), ChannelNorm(wide)
        self.mask_projection = nn.Conv2d(wide, dim, 1)

    def positions(self, places: Tensor) -> Tensor:
        """Code places given as (..., 2) fractions (x, y) of the image's side -> (..., D)."""
        x, y = (2 * places.float() - 1).unsqueeze(-1).unbind(-2)
        u, v = self.frequencies.float()
        angle = (x * u + y * v) * (2 * math.pi)  # not a matrix product, which autocast would round to bfloat16
        return torch.cat((angle.sin(), angle.cos()), dim=-1).to(self.no_mask.dtype)

    def grid(self, height: int, width: int) -> Tensor:
        """The codes of a map's cell centres: (1, D, height, width)."""
        device = self.frequencies.device
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        return self.positions(places).permute(2, 0, 1)[None]

    def points(self, prompts: PromptTensors, side: int) -> Tensor:
        """(R, K + 1, D): a token for each point, and the padding token that the release always adds after points.

        Args:
            side: S, the input's side in pixels.
        """
        kinds = F.pad(prompts.labels.long(), (0, 1), value=-1)
        places = F.pad((prompts.points.float() + 0.5) / side, (0, 0, 0, 1))
        codes = torch.cat((*self.point_codes, self.not_a_point))[kinds]  # kind -1 reads the last row
        return torch.where((kinds >= 0)[..., None], self.positions(places) + codes, codes)

    def mask(self, logits: Tensor | None, height: int, width: int) -> Tensor:
        """(R, 1, 4 * height, 4 * width) logits -> (R, D, height, width); None -> (1, D, 1, 1), to be broadcast."""
        if logits is None:
            return self.no_mask[:, :, None, None]
        if logits.shape[-2:] != (4 * height, 4 * width):
            raise ValueError(
                f"a mask prompt must be {4 * height} x {4 * width} (a quarter of the input), "
                f"not {logits.shape[-2]} x {logits.shape[-1]}: resize it first"
            )
        x = F.gelu(self.mask_norm1(self.mask_conv1(logits.to(self.no_mask.dtype))))
        out: Tensor = self.mask_projection(F.gelu(self.mask_norm2(self.mask_conv2(x))))
        return out
