"""Tidier masks: holes filled, specks removed. Pixels that touch at a corner belong together, as in SAM 2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_TOUCHING = np.ones((3, 3), np.bool_)


def fill_holes(mask: NDArray[np.bool_], largest_px: int) -> NDArray[np.bool_]:
    """Fill background pieces of at most `largest_px` pixels; like SAM 2, those at the image's border too."""
    pieces, areas = _pieces(~mask)
    return mask | (pieces > 0) & (areas[pieces] <= largest_px)


def remove_specks(mask: NDArray[np.bool_], smallest_px: int) -> NDArray[np.bool_]:
    """Keep only pieces of at least `smallest_px` pixels."""
    pieces, areas = _pieces(mask)
    return mask & (areas[pieces] >= smallest_px)


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep only the largest piece; of equal ones the first in reading order. An empty mask stays empty."""
    pieces, areas = _pieces(mask)
    return mask & (pieces == areas[1:].argmax() + 1) if len(areas) > 1 else mask.copy()


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number of each pixel's connected piece, 0 outside the mask, and the area of each number."""
    pieces, _ = ndimage.label(mask, _TOUCHING)
    return pieces, np.bincount(pieces.ravel())
