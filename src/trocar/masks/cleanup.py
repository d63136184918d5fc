"""Tidier masks: holes filled, specks removed. Pixels that touch at a corner belong together, as in SAM 2."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import NDArray

from trocar.masks.frame_masks import FrameMasks

SMALLEST_SHARE = 100 / 256**2
"""0.153 % of the picture: MedSAM-2 leaves out targets under 100 pixels of 256 x 256 (appendix C.1)."""

_TOUCHING = np.ones((3, 3), np.bool_)


def fill_holes(mask: NDArray[np.bool_], largest_px: int) -> NDArray[np.bool_]:
    """Fill background pieces of at most `largest_px` pixels; like SAM 2, those at the image's border too."""
    pieces, areas = _pieces(~mask)
    return mask | (pieces > 0) & (areas[pieces] <= largest_px)


def remove_specks(mask: NDArray[np.bool_], smallest_px: int) -> NDArray[np.bool_]:
    """Keep only pieces of at least `smallest_px` pixels."""
    pieces, areas = _pieces(mask)
    return mask & (areas[pieces] >= smallest_px)


def tidied(frame: FrameMasks, holes_px: int = 0, specks_px: int = 0) -> FrameMasks:
    """A frame's masks with holes of up to `holes_px` pixels filled and pieces under `specks_px` removed.

    Masks that answer a prompt stay as they are.
    """

    def tidy(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        whole = fill_holes(mask, holes_px) if holes_px and mask.any() else mask
        return remove_specks(whole, specks_px) if specks_px else whole

    masks = {name: mask if name in frame.prompted else tidy(mask) for name, mask in frame.masks.items()}
    return replace(frame, masks=masks)


def split_components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Each connected piece of a picture's or a volume's mask as a mask of its own, the largest first.

    MedSAM-2 takes truth masks of several pieces apart like this, each an object of its own (appendix C.1).
    """
    pieces, count = scipy.ndimage.label(mask, np.ones((3,) * mask.ndim, np.bool_))
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    return [pieces == number + 1 for number in np.argsort(-areas, kind="stable")]


def without_small(frame: FrameMasks, smallest_share: float = SMALLEST_SHARE) -> FrameMasks:
    """A frame's masks without those whose area is less than this part of the picture."""
    kept = {name: mask for name, mask in frame.masks.items() if mask.sum() >= smallest_share * mask.size}
    return replace(
        frame,
        masks=kept,
        scores={name: score for name, score in frame.scores.items() if name in kept},
        prompted=frame.prompted & kept.keys(),
    )


@dataclass(frozen=True)
class VolumeCleanup:
    """What is done to the mask of an object in a volume, in this order; nothing by default.

    Args:
        largest_component: keep its largest piece alone. Voxels that touch at a corner belong together.
        fill_holes: fill what it encloses: background from which no way along voxel faces leads to the volume's border.
        smooth: width (sigma) of a Gaussian that the mask is blurred with before it is cut at one half, in mm, or in
            voxels where the spacing is unknown. Parts thinner than about this width go.

    Raises:
        ValueError: a width below 0.
    """

    largest_component: bool = False
    fill_holes: bool = False
    smooth: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.smooth < float("inf"):
            raise ValueError(f"the width of smoothing is 0 or more, not {self.smooth:g}")

    @property
    def asked(self) -> bool:
        """Whether there is anything to do."""
        return self.largest_component or self.fill_holes or self.smooth > 0

    def apply(self, mask: NDArray[np.bool_], spacing_mm: tuple[float, ...] | None = None) -> None:
        """Clean a (slices, rows, columns) mask in place. Only the box around the object is worked on."""
        sigmas = [self.smooth / step for step in spacing_mm or (1.0,) * mask.ndim]
        around = _surroundings(mask, [math.ceil(4 * sigma) + 1 for sigma in sigmas])
        if around is None:
            return
        part = mask[around]
        if self.largest_component:
            part = _largest(part)
        if self.fill_holes:
            part = _without_cavities(part)
        if self.smooth > 0:
            soft = part.astype(np.float32)
            part = scipy.ndimage.gaussian_filter(soft, sigmas, output=soft, mode="nearest") > 0.5
        mask[around] = part


# A CT has so many voxels that numbers of pieces are looked at slice by slice: NumPy widens them to 8 bytes on the way.


def _largest(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest piece of a volume's mask."""
    pieces, count = scipy.ndimage.label(part, np.ones((3,) * part.ndim, np.bool_))
    sizes = np.zeros(count + 1, np.int64)
    for one in pieces:
        sizes += np.bincount(one.ravel(), minlength=count + 1)
    largest: NDArray[np.bool_] = pieces == sizes[1:].argmax() + 1
    return largest


def _without_cavities(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask with what it encloses; the way out is along the faces of voxels to the border of the array."""
    pieces, count = scipy.ndimage.label(~part)
    outside = np.zeros(count + 1, np.bool_)
    for axis in range(part.ndim):
        for end in (0, -1):
            outside[np.unique(pieces.take(end, axis))] = True
    filled = np.empty_like(part)
    outside[0] = False  # what is no background
    for index, one in enumerate(pieces):
        filled[index] = ~outside[one]
    return filled


def _surroundings(mask: NDArray[np.bool_], margins: list[int]) -> tuple[slice, ...] | None:
    """The box around what is in a mask, with a margin along each axis as far as there is room; None if it is empty."""
    box = scipy.ndimage.find_objects(mask.view(np.uint8))
    if not box:
        return None
    return tuple(
        slice(max(0, span.start - margin), min(length, span.stop + margin))
        for span, margin, length in zip(box[0], margins, mask.shape, strict=True)
    )


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number of each pixel's connected piece, 0 outside the mask, and the area of each number."""
    pieces, _ = scipy.ndimage.label(mask, _TOUCHING)
    return pieces, np.bincount(pieces.ravel())
