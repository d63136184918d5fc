"""What is compared from frame to frame: instances, where they lie and what colours they have, at a small size."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.datasets.case import Mask

Colours = NDArray[np.float32]

SIDE_PX = 384
"""The longer side of the pictures in which things are compared; smaller pictures keep theirs."""

LIGHTNESS, CHROMA = 4, 12
"""Bins of a histogram along L and along a and b of CIE Lab: light changes with distance, colour less so."""

CHROMA_STEP = 8
"""Width of a bin along a and b; what lies beyond the last bin counts in it."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One thing on one frame, before it has an id in time.

    Args:
        class_name: its standard name.
        mask: (rows, columns) bool.
        origins: the input ids that it was made of.
        whole: whether it is all there is of its class, so that there is nothing to tell it from.
        masklet: the id that it has for certain (from a correction, or because the input has masklets); else None.
    """

    class_name: str
    mask: Mask
    origins: tuple[int, ...] = ()
    whole: bool = False
    masklet: int | None = None


def small_size(rows: int, columns: int) -> tuple[int, int]:
    """(rows, columns) of a picture when things in it are compared, see `SIDE_PX`."""
    scale = min(1.0, SIDE_PX / max(rows, columns))
    return max(1, round(rows * scale)), max(1, round(columns * scale))


class View:
    """A frame at the size at which things are compared.

    Args:
        image: (rows, columns, 3) uint8 RGB.
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.size = small_size(image.shape[0], image.shape[1])
        small = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
        lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.int32)
        chroma = np.clip((lab[..., 1:] - 128) // CHROMA_STEP + CHROMA // 2, 0, CHROMA - 1)
        self._bins = (lab[..., 0] * LIGHTNESS // 256 * CHROMA + chroma[..., 0]) * CHROMA + chroma[..., 1]
        self._grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)

    @property
    def diagonal(self) -> float:
        """Length of the small picture's diagonal, pixels."""
        return float(np.hypot(*self.size))

    def shrunk(self, mask: Mask) -> Mask:
        """A mask at this size; one that would vanish keeps the pixels that it touches."""
        if mask.shape == self.size:
            return mask
        share = cv2.resize(mask.astype(np.float32), self.size[::-1], interpolation=cv2.INTER_AREA)
        inside = share > 0.5
        return np.asarray(inside if inside.any() else share > 0, np.bool_)

    def colours(self, mask: Mask) -> Colours:
        """The histogram of a small mask's pixels, of sum 1; neighbouring bins share a little."""
        counts = np.bincount(self._bins[mask], minlength=LIGHTNESS * CHROMA**2).astype(np.float32)
        soft = ndimage.gaussian_filter(counts.reshape(LIGHTNESS, CHROMA, CHROMA), 0.7, mode="nearest").ravel()
        return np.asarray(soft / max(float(soft.sum()), 1e-6), np.float32)

    def came_from(self, before: View) -> NDArray[np.float32]:
        """Where each pixel was on an earlier frame of the same size, (rows, columns, 2) as (x, y): dense inverse
        search (Kroeger et al., 2016)."""
        still = np.zeros((*self.size, 2), np.float32)
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(self._grey, before._grey, still)
        columns, rows = np.meshgrid(np.arange(self.size[1]), np.arange(self.size[0]))
        return np.asarray(flow + np.stack([columns, rows], 2), np.float32)


def moved(mask: Mask, where: NDArray[np.float32]) -> Mask:
    """A mask of an earlier frame as it is expected now, see `View.came_from`."""
    return np.asarray(cv2.remap(mask.astype(np.uint8), where[..., 0], where[..., 1], cv2.INTER_NEAREST) > 0, np.bool_)


@dataclass(frozen=True, eq=False)
class Sighting:
    """An instance at the size of comparison.

    Args:
        instance: which.
        small: its mask at the small size.
        colours: its histogram, see `View.colours`.
        centre: (x, y) of its middle, small pixels.
        area: small pixels.
    """

    instance: Instance
    small: Mask
    colours: Colours = field(repr=False)
    centre: tuple[float, float]
    area: int


def sight(instance: Instance, view: View) -> Sighting:
    """An instance, which must not be empty, as a view shows it."""
    small = view.shrunk(instance.mask)
    return Sighting(instance, small, view.colours(small), centre_of(small), int(np.count_nonzero(small)))


def centre_of(mask: Mask) -> tuple[float, float]:
    """The mean (x, y) of a mask's pixels; (0, 0) of none."""
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    area = max(moments["m00"], 1e-6)
    return moments["m10"] / area, moments["m01"] / area


def likeness(one: Colours, other: Colours) -> float:
    """How alike two histograms are, 0..1 (Bhattacharyya's coefficient)."""
    return float(np.sqrt(one * other).sum())


def overlap(one: Mask, other: Mask) -> float:
    """IoU of two masks, 0 for two empty ones."""
    shared = int(np.count_nonzero(one & other))
    return shared / max(int(np.count_nonzero(one)) + int(np.count_nonzero(other)) - shared, 1)


def covered(part: Mask, by: Mask) -> float:
    """The share of `part` that lies in `by`, 0 for an empty part."""
    return int(np.count_nonzero(part & by)) / max(int(np.count_nonzero(part)), 1)
