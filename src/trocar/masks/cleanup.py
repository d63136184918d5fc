"""Tidier masks: holes filled, specks removed. Pixels that touch at a corner belong together, as in SAM 2."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.masks.frame_masks import FrameMasks

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


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number of each pixel's connected piece, 0 outside the mask, and the area of each number."""
    pieces, _ = ndimage.label(mask, _TOUCHING)
    return pieces, np.bincount(pieces.ravel())
