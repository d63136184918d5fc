"""Frames into network input and masks back, and the frames' features: encoded once a frame, shared by all objects."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import RLock
from typing import ClassVar

import numpy as np
import scipy  # its parts load when they are first used
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trocar.frames import FrameSource
from trocar.model.config import NetworkConfig
from trocar.model.motion import frame_views
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures

MEAN = (0.485, 0.456, 0.406)  # ImageNet statistics, as in SAM 2
STD = (0.229, 0.224, 0.225)


def to_network_input(image: NDArray[np.uint8], side: int) -> Tensor:
    """(rows, columns, 3) uint8 RGB -> (3, side, side) float: stretched to a square, antialiased, normalised."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    if pixels.shape[-2:] != (side, side):
        pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return _normalised(pixels[0])


@dataclass(frozen=True)
class NetworkInput:
    """Where a frame lies in a network's square input, and how its masks come back; here as in SAM 2: stretched.

    Args:
        side: S of the input, in pixels.
    """

    side: int
    #: RGB of the input beside the frame.
    ground: ClassVar[tuple[int, int, int]] = (0, 0, 0)

    def extent(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of the input, from its upper left corner, that a frame of (rows, columns) takes."""
        return self.side, self.side

    def pixels(self, image: NDArray[np.uint8]) -> Tensor:
        """(rows, columns, 3) uint8 RGB -> (3, S, S) float."""
        return to_network_input(image, self.side)

    def to_frame(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """(K, s, s) logits of the whole input -> (K, rows, columns) of the frame."""
        return _resized(logits, size)


class PaddedInput(NetworkInput):
    """SAM: the longer side fills the input, and zeros follow below or to the right (Kirillov et al. 2023)."""

    ground = (124, 116, 104)  # what normalisation makes zero

    def extent(self, size: tuple[int, int]) -> tuple[int, int]:
        scale = self.side / max(size)
        return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))

    def pixels(self, image: NDArray[np.uint8]) -> Tensor:
        whole = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        rows, columns = self.extent((image.shape[0], image.shape[1]))
        if whole.shape[-2:] != (rows, columns):
            # In whole grey levels, as the release resizes pictures and not tensors.
            whole = F.interpolate(whole, size=(rows, columns), mode="bilinear", antialias=True)
        return F.pad(_normalised(whole[0].float()), (0, self.side - columns, 0, self.side - rows))

    def to_frame(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        rows, columns = self.extent(size)
        return _resized(_resized(logits, (self.side, self.side))[:, :rows, :columns], size)


class MinMaxInput(NetworkInput):
    """MedSAM: stretched by cubic splines, then scaled so that the darkest value is 0 and the brightest 1.

    Ma et al., "Segment anything in medical images" (2024), as its released inference script does it; there masks are
    resized as probabilities.
    """

    def pixels(self, image: NDArray[np.uint8]) -> Tensor:
        grey = bool((image == image[..., :1]).all())
        channels = [self._stretched(image[..., channel]) for channel in range(1 if grey else 3)]
        pixels = np.stack(channels * (3 // len(channels)))
        low = pixels.min()
        return torch.from_numpy((pixels - low) / max(float(pixels.max() - low), 1e-8)).float()

    def to_frame(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        return _resized(logits.sigmoid(), size).logit(eps=1e-6)

    def _stretched(self, channel: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(rows, columns) -> (S, S) whole grey levels: blurred where it shrinks, then read off cubic splines."""
        source = channel.astype(np.float64)
        shrinks = np.array(channel.shape) / self.side
        blurred = scipy.ndimage.gaussian_filter(source, np.maximum(0, (shrinks - 1) / 2), mode="mirror")
        large = scipy.ndimage.zoom(blurred, 1 / shrinks, order=3, mode="mirror", grid_mode=True)
        # Splines overshoot; and what is a whole number up to rounding must not lose a level.
        levels: NDArray[np.float64] = np.floor(large.clip(source.min(), source.max()) + 1e-6)
        return levels


INPUTS: dict[str, type[NetworkInput]] = {"stretched": NetworkInput, "padded": PaddedInput, "min-max": MinMaxInput}


def input_of(config: NetworkConfig, side: int | None = None) -> NetworkInput:
    """How a network takes frames, at its own size or another one."""
    return INPUTS[config.input](side or config.image_size)


def _normalised(pixels: Tensor) -> Tensor:
    """(3, H, W) in 0..255 -> the same by ImageNet's mean and standard deviation."""
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    std = torch.tensor(STD).view(3, 1, 1) * 255
    return (pixels - mean) / std


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(K, h, w) -> (K, rows, columns), bilinear."""
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


class Features:
    """The image features of a source's frames, the last few kept. Threads that ask take turns.

    Two frames are enough: propagation needs the current one, and a person who clicks stays on one frame.

    Args:
        network: encodes; its device and dtype are used.
        source: gives the frames.
        side: of the square network input, in pixels.
        keep: how many frames' features to hold.
        views: whether features have a view even where the network does not ask for one.
    """

    def __init__(self, network: Network, source: FrameSource, side: int, keep: int = 2, views: bool = False) -> None:
        self._network = network
        self._views = views
        self._seen: tuple[int, Tensor, Tensor] | None = None  # the last frame looked at: number, pixels, view
        self._source = source
        self._input = input_of(network.config, side)
        self._keep = keep
        self._cache: OrderedDict[int, ImageFeatures] = OrderedDict()
        self._turn = RLock()

    def __call__(self, frame: int) -> ImageFeatures:
        """The features of one frame, F = 1."""
        with self._turn:
            if frame in self._cache:
                self._cache.move_to_end(frame)
                return self._cache[frame]
            pixels = self._pixels(frame)
            encoded = self._network.encode_image(pixels)
            if self._views and encoded.view is None:
                encoded = replace(encoded, view=frame_views(pixels))
            self._cache[frame] = encoded
            while len(self._cache) > self._keep:
                self._cache.popitem(last=False)
            return encoded

    def view(self, frame: int) -> Tensor:
        """(S, S) uint8: the frame as a grey picture, without encoding it."""
        with self._turn:
            if self._seen is None or self._seen[0] != frame:
                pixels = self._read(frame)
                self._seen = frame, pixels, frame_views(pixels)[0]
            return self._seen[2]

    def _pixels(self, frame: int) -> Tensor:
        return self._seen[1] if self._seen is not None and self._seen[0] == frame else self._read(frame)

    def _read(self, frame: int) -> Tensor:
        """(1, 3, S, S) as the network takes it."""
        return self._input.pixels(self._source[frame].image)[None].to(next(self._network.parameters()))
