"""Prompts that a user might have given, drawn from the truth: clicks on errors and boxes around objects.

Clicks and boxes in pictures follow SAM 2 (Ravi et al., appendix on data and training); clicks and boxes in volumes, and
boxes moved outwards, follow the CVPR 2024 and 2025 challenges; each as the released code computes them. Chance comes
from a generator or a seed that the caller gives.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts load when they are first used
from numpy.typing import NDArray

from trocar.prompts.box3d import Box3d
from trocar.prompts.prompt import Box, Point

Mask = NDArray[np.bool_]

LARGEST_ROI = 60_000_000
"""Voxels above which the CVPR 2025 script halves a volume before it measures depths in it."""


def center_click(gt: Mask, pred: Mask | None = None) -> Point | None:
    """Click in the middle of an error, SAM 2's "center" (and RITM's): the pixel farthest from where its error ends.

    Missed and wrongly covered pixels are measured apart; the image's border ends an error. On equal terms the click is
    negative, and the first pixel in reading order is taken.

    Args:
        gt: (rows, columns) bool.
        pred: (rows, columns) bool; None before the first click.

    Returns:
        The click, at whole pixel numbers, or None if there is no error left.
    """
    missed, excess = _errors(gt, pred)
    (depth_missed, at_missed), (depth_excess, at_excess) = _deepest(missed), _deepest(excess)
    if depth_missed == depth_excess == 0:
        return None
    positive = depth_missed > depth_excess
    x, y = at_missed if positive else at_excess
    return Point(float(x), float(y), positive)


def uniform_click(gt: Mask, pred: Mask | None, rng: np.random.Generator) -> Point | None:
    """Click on a pixel drawn uniformly from all errors, as SAM 2 does in training: positive if it was missed.

    Args and result are those of `center_click`. Where no error is left SAM 2 goes on to click on the background.
    """
    missed, excess = _errors(gt, pred)
    wrong = np.flatnonzero(missed | excess)
    if not len(wrong):
        return None
    y, x = np.unravel_index(rng.choice(wrong), gt.shape)
    return Point(float(x), float(y), bool(missed[y, x]))


def center_click3d(
    gt: Mask, pred: Mask | None = None, seed: int = 42, largest_roi: int = LARGEST_ROI
) -> tuple[int, Point] | None:
    """Click in the middle of the largest error in a volume, as the CVPR 2025 script does for each class.

    Errors are missed and wrongly covered voxels together, in pieces that touch at corners at least; of pieces of the
    same size the first. Depth is counted in voxels, whatever their spacing, and the volume's border ends an error. One
    of the deepest voxels is drawn.

    Args:
        gt: (slices, rows, columns) bool.
        pred: (slices, rows, columns) bool; None before the first click.
        seed: of the draw; the script starts again from 42 at each click.
        largest_roi: voxels around the error above which depths are measured at half the resolution.

    Returns:
        The slice and the click on it, or None if there is no error left.
    """
    missed, excess = _errors(gt, pred)
    error = missed | excess
    box = scipy.ndimage.find_objects(error.view(np.uint8))
    if not box:
        return None
    pieces, _ = scipy.ndimage.label(error[box[0]], np.ones((3, 3, 3), np.bool_))
    largest = int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    inside = scipy.ndimage.find_objects(pieces, largest)[-1]
    piece = pieces[inside] == largest
    deepest = _depths(piece, largest_roi)
    places = np.argwhere(deepest == deepest.max())
    place = places[np.random.RandomState(seed).choice(len(places))]
    z, y, x = (int(at) + outer.start + inner.start for at, outer, inner in zip(place, box[0], inside, strict=True))
    return z, Point(float(x), float(y), bool(missed[z, y, x]))


def tight_box(mask: Mask) -> Box:
    """The box whose corners are the first and the last pixel of the mask each way.

    A mask that is one pixel wide or high gets a box that is one pixel larger that way, for a box is never empty.

    Raises:
        ValueError: the mask is empty.
    """
    x0, y0, x1, y1 = _corners(mask)
    return Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


def jittered_box(mask: Mask, rng: np.random.Generator, fraction: float = 0.1, limit_px: float = 20.0) -> Box:
    """The tight box with each side moved by chance, uniformly and within the image, as SAM 2 does in training.

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
    last = np.maximum([columns - 1, rows - 1] * 2, [box.x0, box.y0, box.x1, box.y1])
    x0, y0, x1, y1 = np.clip(moved, 0, last).tolist()
    return Box(x0, y0, x1, y1)


def outset_box(mask: Mask, shift: int, per_side: int | None = 256) -> Box:
    """The tight box with all sides moved outwards, within the image (MedSAM and the CVPR challenges).

    Args:
        mask: (rows, columns) bool.
        shift: how far; the challenges draw it from 0 to 5.
        per_side: the shift is in parts of this many of the image's width and height, rounded down; None for pixels.

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = mask.shape
    across, down = (shift if per_side is None else int(shift * side / per_side) for side in (columns, rows))
    x0, y0, x1, y1 = _corners(mask)
    x0, y0 = max(0, x0 - across), max(0, y0 - down)
    x1, y1 = min(columns - 1, x1 + across), min(rows - 1, y1 + down)
    return Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


def middle_slice_box(mask: Mask, shift: int) -> tuple[int, Box3d]:
    """The box of a volume's object as the CVPR 2025 challenge says it: on one slice, with the range of slices.

    Args:
        mask: (slices, rows, columns) bool.
        shift: as in `outset_box`.

    Returns:
        The middle one of the slices that show the object, and the box: its outline is that of this slice.

    Raises:
        ValueError: the mask is empty.
    """
    shown = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(shown):
        raise ValueError("an empty mask has no box")
    middle = int(shown[len(shown) // 2])
    box = outset_box(mask[middle], shift)
    return middle, Box3d(box.x0, box.y0, int(shown[0]), box.x1, box.y1, int(shown[-1]))


def _errors(gt: Mask, pred: Mask | None) -> tuple[Mask, Mask]:
    """Missed pixels and wrongly covered pixels."""
    if pred is None:
        return gt, np.zeros_like(gt)
    if gt.shape != pred.shape:
        raise ValueError(f"truth {gt.shape} and prediction {pred.shape} differ in size: resize the prediction")
    return gt & ~pred, pred & ~gt


def _deepest(error: Mask) -> tuple[float, tuple[int, int]]:
    """Distance from the deepest pixel of an error to its end, in pixels, and its (x, y); 0 if there is no error."""
    if not error.any():
        return 0.0, (0, 0)
    x0, y0, x1, y1 = _corners(error)
    # What lies beyond the error's own box is no error, so one ring around it stands for the rest.
    depth = scipy.ndimage.distance_transform_edt(np.pad(error[y0 : y1 + 1, x0 : x1 + 1], 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(depth[row, column]), (x0 + int(column), y0 + int(row))


def _depths(piece: Mask, largest_roi: int) -> NDArray[np.float64]:
    """Distance of each voxel of a piece to its end, in voxels; at half the resolution where the piece is large."""
    margins = [max(1, length // 4) for length in piece.shape]
    padded = np.pad(piece, [(margin, margin) for margin in margins])
    halved = padded.size > largest_roi
    if halved:
        padded = np.pad(padded, [(0, length % 2) for length in padded.shape])
        slices, rows, columns = (length // 2 for length in padded.shape)
        padded = np.logical_or.reduce(padded.reshape(slices, 2, rows, 2, columns, 2), axis=(1, 3, 5))
    depths: NDArray[np.float64] = scipy.ndimage.distance_transform_edt(padded)
    if halved:
        depths = depths.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    own = tuple(slice(margin, margin + length) for margin, length in zip(margins, piece.shape, strict=True))
    return depths[own] * piece


def _corners(mask: Mask) -> tuple[int, int, int, int]:
    """First and last column and row of a mask, as x0, y0, x1, y1."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        raise ValueError("an empty mask has no box")
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
