"""Frames into network input, and their features: encoded once a frame, shared by all objects."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trocar.frames import FrameSource
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures

MEAN = (0.485, 0.456, 0.406)  # ImageNet statistics, as in SAM 2
STD = (0.229, 0.224, 0.225)


def to_network_input(image: NDArray[np.uint8], side: int) -> Tensor:
    """(rows, columns, 3) uint8 RGB -> (3, side, side) float: stretched to a square, antialiased, normalised."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    if pixels.shape[-2:] != (side, side):
        pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    std = torch.tensor(STD).view(3, 1, 1) * 255
    return (pixels[0] - mean) / std


class Features:
    """The image features of a source's frames, the last few kept.

    Two frames are enough: propagation needs the current one, and a person who clicks stays on one frame.

    Args:
        network: encodes; its device and dtype are used.
        source: gives the frames.
        side: of the square network input, in pixels.
        keep: how many frames' features to hold.
    """

    def __init__(self, network: Network, source: FrameSource, side: int, keep: int = 2) -> None:
        self._network = network
        self._source = source
        self._side = side
        self._keep = keep
        self._cache: OrderedDict[int, ImageFeatures] = OrderedDict()

    def __call__(self, frame: int) -> ImageFeatures:
        """The features of one frame, F = 1."""
        if frame in self._cache:
            self._cache.move_to_end(frame)
            return self._cache[frame]
        weight = next(self._network.parameters())
        pixels = to_network_input(self._source[frame].image, self._side)[None].to(weight)
        self._cache[frame] = self._network.encode_image(pixels)
        while len(self._cache) > self._keep:
            self._cache.popitem(last=False)
        return self._cache[frame]
