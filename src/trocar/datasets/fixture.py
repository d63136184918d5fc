"""Made-up pictures with truth, for tiny sets in the layout of a published one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def made_up(
    frames: int, ids: tuple[int, ...], size: tuple[int, int] = (48, 64), seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Boxes of their own colours that move over a mottled ground.

    Args:
        frames: how many.
        ids: an object each; every one shows on every frame.
        size: rows and columns, pixels.
        seed: of colours and places.

    Returns:
        (T, rows, columns, 3) RGB and (T, rows, columns) ids, 0 for the ground.
    """
    rng = np.random.default_rng([17, seed])
    rows, columns = size
    images = rng.integers(60, 120, (frames, rows, columns, 3), dtype=np.uint8)
    labels = np.zeros((frames, rows, columns), np.uint8)
    band, side = columns // max(len(ids), 1), max(3, min(columns // (2 * max(len(ids), 1)), rows // 3))
    for place, one in enumerate(ids):
        colour = rng.integers(0, 256, 3)
        for frame in range(frames):
            top, left = 2 + (frame * 2 + place * 3) % (rows - side - 3), place * band + 1 + frame % 2
            labels[frame, top : top + side, left : left + side] = one
            images[frame, top : top + side, left : left + side] = colour
    return images, labels


def save(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write a picture, making its folder; (rows, columns) or (rows, columns, 3) uint8, or grey values up to 65535."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def coloured(labels: NDArray[np.uint8], colours: dict[int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """(rows, columns) ids as an RGB picture; 0 is black unless `colours` says otherwise."""
    out = np.zeros((*labels.shape, 3), np.uint8)
    for one, colour in colours.items():
        out[labels == one] = colour
    return out
