"""Prompts that a user might have given, drawn from the truth: clicks on errors and boxes around objects.

The rules are those of SAM 2 (Ravi et al., appendix on data and training), as its release computes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from trocar.prompts.prompt import Box, Point

Mask = NDArray[np.bool_]


def center_click(truth: Mask, prediction: Mask | None = None) -> Point | None:
    """Click in the middle of the largest error: the pixel farthest from where its error ends.

    Missed and wrongly covered pixels are measured apart; the image's border ends an error. On equal terms the click is
    negative, and the first pixel in reading order is taken.

    Args:
        truth: (rows, columns) bool.
        prediction: (rows, columns) bool; None before the first click.

    Returns:
        The click, at whole pixel numbers, or None if there is no error left.
    """
    missed, excess = _errors(truth, prediction)
    (depth_missed, at_missed), (depth_excess, at_excess) = _deepest(missed), _deepest(excess)
    if depth_missed == depth_excess == 0:
        return None
    positive = depth_missed > depth_excess
    x, y = at_missed if positive else at_excess
    return Point(float(x), float(y), positive)


def uniform_click(truth: Mask, prediction: Mask | None, rng: np.random.Generator) -> Point | None:
    """Click on a pixel drawn uniformly from all errors: positive if it was missed, negative if wrongly covered.

    Args and result are those of `center_click`.
    """
    missed, excess = _errors(truth, prediction)
    wrong = np.flatnonzero(missed | excess)
    if not len(wrong):
        return None
    y, x = np.unravel_index(rng.choice(wrong), truth.shape)
    return Point(float(x), float(y), bool(missed[y, x]))


def tight_box(mask: Mask) -> Box:
    """The box whose corners are the first and the last pixel of the mask each way.

    A mask that is one pixel wide or high gets a box that is one pixel larger that way, for a box is never empty.

    Raises:
        ValueError: the mask is empty.
    """
    x0, y0, x1, y1 = _corners(mask)
    return Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


def jittered_box(mask: Mask, rng: np.random.Generator, fraction: float = 0.1, limit_px: float = 20.0) -> Box:
    """The tight box with each side moved by chance, uniformly and within the image.

    Args:
        mask: (rows, columns) bool.
        rng: the source of chance.
        fraction: a side moves by at most this part of the box's width or height, less than one half,
        limit_px: and by at most this many pixels.

    Raises:
        ValueError: the mask is empty.
    """
    box = tight_box(mask)
    reach = np.minimum([fraction * (box.x1 - box.x0), fraction * (box.y1 - box.y0)], limit_px)
    moved = np.array([box.x0, box.y0, box.x1, box.y1]) + rng.uniform(-1, 1, 4) * np.tile(reach, 2)
    rows, columns = mask.shape
    x0, y0, x1, y1 = np.clip(moved, 0, [columns, rows, columns, rows]).tolist()
    return Box(x0, y0, x1, y1)


def _errors(truth: Mask, prediction: Mask | None) -> tuple[Mask, Mask]:
    """Missed pixels and wrongly covered pixels."""
    if prediction is None:
        return truth, np.zeros_like(truth)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in size: resize the prediction")
    return truth & ~prediction, prediction & ~truth


def _deepest(error: Mask) -> tuple[float, tuple[int, int]]:
    """Distance from the deepest pixel of an error to its end, in pixels, and its (x, y); 0 if there is no error."""
    if not error.any():
        return 0.0, (0, 0)
    x0, y0, x1, y1 = _corners(error)
    # What lies beyond the error's own box is no error, so one ring around it stands for the rest.
    depth = ndimage.distance_transform_edt(np.pad(error[y0 : y1 + 1, x0 : x1 + 1], 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(depth[row, column]), (x0 + int(column), y0 + int(row))


def _corners(mask: Mask) -> tuple[int, int, int, int]:
    """First and last column and row of a mask, as x0, y0, x1, y1."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        raise ValueError("an empty mask has no box")
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
