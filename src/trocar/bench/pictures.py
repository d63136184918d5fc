"""What a report shows of a case: a frame with the found mask filled in and the truth outlined."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.formats.overlay import draw_overlay
from trocar.masks import FrameMasks

WIDTH = 512
TRUTH = (255, 255, 255)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame worth showing: its number, what was found there and what is true, (rows, columns) bool each."""

    frame: int
    found: Mask
    truth: Mask


def draw_shown(image: NDArray[np.uint8], shown: Shown) -> NDArray[np.uint8]:
    """Draw it over its (rows, columns, 3) uint8 RGB image; at most 512 pixels wide."""
    rows, columns = image.shape[:2]
    scale = min(1.0, WIDTH / columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    found, truth = (
        cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for mask in (shown.found, shown.truth)
    )
    picture = draw_overlay(small, FrameMasks(shown.frame, {1: found.astype(np.bool_)}))
    outlines, _ = cv2.findContours(truth, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(picture, outlines, -1, TRUTH, 1), np.uint8)
