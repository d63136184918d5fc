"""The prompt encoder: points, box corners and a rough mask become tokens and a map (SAM, Kirillov et al. 2023)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import ChannelNorm, Kept
from trocar.model.tensors import PromptTensors

KINDS = 4  # negative click, positive click, a box's upper left and its lower right corner
MASK_WIDTHS = (4, 16)
FREQUENCY_SCALE = 0.5  # SAM draws with 1; places twice as alike are learned from scratch sooner


class PromptEncoder(nn.Module):
    """Random Fourier positions with a learned code for each kind of point; small convolutions for masks."""

    frequencies: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.pads_boxes = config.family == "sam2"
        self.register_buffer("frequencies", FREQUENCY_SCALE * torch.randn(2, dim // 2))
        self.point_codes = nn.ParameterList(nn.Parameter(torch.randn(1, dim)) for _ in range(KINDS))
        self.not_a_point = nn.Parameter(torch.randn(1, dim))
        self.no_mask = nn.Parameter(torch.empty(1, dim))
        nn.init.trunc_normal_(self.no_mask, std=0.02)
        narrow, wide = MASK_WIDTHS
        self.mask_conv1, self.mask_norm1 = nn.Conv2d(1, narrow, 2, stride=2), ChannelNorm(narrow)
        self.mask_conv2, self.mask_norm2 = nn.Conv2d(narrow, wide, 2, stride=2), ChannelNorm(wide)
        self.mask_projection = nn.Conv2d(wide, dim, 1)
        self.drawing = PromptDrawing(dim) if config.dense_prompts else None
        self._kept_grid = Kept()

    def positions(self, places: Tensor) -> Tensor:
        """Code places given as (..., 2) fractions (x, y) of the image's side -> (..., D)."""
        x, y = (2 * places.float() - 1).unsqueeze(-1).unbind(-2)
        u, v = self.frequencies.float()
        angle = (x * u + y * v) * (2 * math.pi)  # not a matrix product, which autocast would round to bfloat16
        return torch.cat((angle.sin(), angle.cos()), dim=-1).to(self.no_mask.dtype)

    def grid(self, height: int, width: int) -> Tensor:
        """The codes of a map's cell centres: (1, D, height, width)."""
        return self._kept_grid(self._grid, (height, width), self.frequencies)

    def _grid(self, height: int, width: int) -> Tensor:
        device = self.frequencies.device
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        return self.positions(places).permute(2, 0, 1)[None]

    def points(self, prompts: PromptTensors, side: int) -> Tensor:
        """(R, K + 1, D): a token for each point, and the padding token that the release of SAM 2 always adds.

        SAM's adds it to clicks alone: (R, K, D) with a box or without any point. Embedded prompts get none.

        Args:
            side: S, the input's side in pixels.

        Raises:
            ValueError: some rows have a box and some have not, and the network pads only the latter.
        """
        if prompts.embedded is not None:
            return prompts.embedded.sparse
        padding = 1 if self.pads_boxes else self._padding(prompts.labels)
        kinds = F.pad(prompts.labels.long(), (0, padding), value=-1)
        places = F.pad((prompts.points.float() + 0.5) / side, (0, 0, 0, padding))
        codes = torch.cat((*self.point_codes, self.not_a_point))[kinds]  # kind -1 reads the last row
        return torch.where((kinds >= 0)[..., None], self.positions(places) + codes, codes)

    @staticmethod
    def _padding(labels: Tensor) -> int:
        """How many padding tokens SAM adds to (R, K) labels."""
        boxed = (labels >= 2).any(dim=1)
        if bool(boxed.any()) != bool(boxed.all()):
            raise ValueError("rows with a box and rows without belong in different calls: only the latter are padded")
        return 0 if labels.shape[1] == 0 or bool(boxed.any()) else 1

    def dense(self, prompts: PromptTensors, height: int, width: int) -> Tensor:
        """What is added to the (R, D, height, width) features: the mask prompt, and the drawing of the points."""
        if prompts.embedded is not None:
            return _of_size(prompts.embedded.dense, height, width)
        mask = self.mask(prompts.mask_logits, height, width)
        return mask if self.drawing is None else mask + self.drawing(prompts, 16 * width)

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


def _of_size(dense: Tensor, height: int, width: int) -> Tensor:
    if dense.shape[-2:] != (height, width):
        raise ValueError(
            f"an embedded prompt for maps of {dense.shape[-2]} x {dense.shape[-1]} cells does not fit features of "
            f"{height} x {width}: run the network at the side that the prompt was made for"
        )
    return dense


class PromptDrawing(nn.Module):
    """Boxes and clicks drawn at a quarter of the input's size: a filled box, and a spot for each kind of click."""

    WIDTH = 32
    SPOT = 1 / 32  # standard deviation of a click's spot, as a part of the input's side
    EDGE_PX = 2.0  # softness of a box's edge

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, self.WIDTH, 2, stride=2), ChannelNorm(self.WIDTH)
        self.conv2, self.norm2 = nn.Conv2d(self.WIDTH, self.WIDTH, 2, stride=2), ChannelNorm(self.WIDTH)
        self.projection = nn.Conv2d(self.WIDTH, dim, 1)

    def forward(self, prompts: PromptTensors, side: int) -> Tensor:
        """-> (R, D, side / 16, side / 16)."""
        drawn = self.draw(prompts, side).to(self.projection.weight.dtype)
        x = F.gelu(self.norm1(self.conv1(drawn)))
        out: Tensor = self.projection(F.gelu(self.norm2(self.conv2(x))))
        return out

    def draw(self, prompts: PromptTensors, side: int) -> Tensor:
        """(R, 3, side / 4, side / 4) in 0..1: positive clicks, negative clicks, the box."""
        centres = (torch.arange(side // 4, device=prompts.points.device) + 0.5) * 4
        x, y = (prompts.points.float() + 0.5).unbind(-1)
        dx, dy = centres - x[..., None], centres - y[..., None]  # (R, K, side / 4)
        spread = 2 * (self.SPOT * side) ** 2
        spots = torch.exp(-dy.square() / spread)[..., :, None] * torch.exp(-dx.square() / spread)[..., None, :]
        after = (dy / self.EDGE_PX).sigmoid()[..., :, None] * (dx / self.EDGE_PX).sigmoid()[..., None, :]
        before = (-dy / self.EDGE_PX).sigmoid()[..., :, None] * (-dx / self.EDGE_PX).sigmoid()[..., None, :]

        def of_kind(kind: int, maps: Tensor) -> Tensor:
            return (maps * (prompts.labels == kind)[..., None, None]).amax(dim=1)

        return torch.stack((of_kind(1, spots), of_kind(0, spots), of_kind(2, after) * of_kind(3, before)), dim=1)
