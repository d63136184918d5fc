"""What one can do offline without a trained network: fill the box, GrabCut, keep the first mask, carry it by flow."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.prompts import Box

Mask = NDArray[np.bool_]


def filled_box(image: NDArray[np.uint8], box: Box) -> Mask:
    """The box itself.

    Args:
        image: (rows, columns, 3), for its size only.
        box: its corners are the first and the last pixel of the object.

    Returns:
        (rows, columns) bool.
    """
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[_inside(box)] = True
    return mask


def grabcut(image: NDArray[np.uint8], box: Box, iterations: int = 5) -> Mask:
    """GrabCut (Rother et al., SIGGRAPH 2004), as OpenCV has it, from a box; the same image gives the same mask.

    Args:
        image: (rows, columns, 3) uint8.
        box: its corners are the first and the last pixel of the object; what lies outside counts as background.
        iterations: rounds of fitting colours and cutting.

    Returns:
        (rows, columns) bool; the filled box where there is nothing to cut: the box covers the whole image, or
        GrabCut leaves no pixel.
    """
    filled = filled_box(image, box)
    if filled.all() or not filled.any():
        return filled
    rows, columns = _inside(box)
    rectangle = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    trimap = np.zeros(image.shape[:2], np.uint8)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the colour models start from k-means, which draws
    cv2.grabCut(
        np.ascontiguousarray(image), trimap, rectangle, background, foreground, iterations, cv2.GC_INIT_WITH_RECT
    )
    mask = ((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)).astype(np.bool_)
    return mask if mask.any() else filled


def first_mask_kept(first_mask: Mask, frames: int) -> Mask:
    """The first mask (rows, columns) on every frame: (frames, rows, columns) bool."""
    return np.repeat(first_mask[None], frames, axis=0)


def flow_carried(images: NDArray[np.uint8], first_masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks carried through a clip by `FlowCarrier`.

    Args:
        images: (T, rows, columns, 3) uint8.
        first_masks: (objects, rows, columns) bool, the masks on the first image.

    Returns:
        (objects, T, rows, columns) bool.
    """
    carrier = FlowCarrier(images[0], first_masks)
    return np.stack([first_masks, *(carrier.carry(image) for image in images[1:])], axis=1)


class FlowCarrier:
    """Masks carried from frame to frame by DIS optical flow (Kroeger et al., ECCV 2016; OpenCV's medium preset).

    Each pixel of a frame looks up where it was on the frame before. Masks travel as soft values, so that small steps
    add up, and are cut at one half.

    Args:
        image: (rows, columns, 3) uint8, the frame to begin with.
        masks: (objects, rows, columns) bool, the masks on it.
    """

    def __init__(self, image: NDArray[np.uint8], masks: NDArray[np.bool_]) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        rows, columns = self._grey.shape
        self._here = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).astype(np.float32)
        self._soft = [mask.astype(np.float32) for mask in masks]

    def carry(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """The masks on the next frame: (objects, rows, columns) bool."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        # No flow to start from: OpenCV's stubs forget that None is allowed, and zeros would start a different search.
        before = self._here + self._flow.calc(grey, self._grey, None)  # type: ignore[call-overload]
        self._grey = grey
        self._soft = [cv2.remap(values, before[..., 0], before[..., 1], cv2.INTER_LINEAR) for values in self._soft]
        return np.stack([values > 0.5 for values in self._soft])


def _inside(box: Box) -> tuple[slice, slice]:
    """Rows and columns of the pixels that the box covers, its corner pixels included."""
    return (
        slice(max(math.floor(box.y0 + 0.5), 0), max(math.floor(box.y1 + 0.5) + 1, 0)),
        slice(max(math.floor(box.x0 + 0.5), 0), max(math.floor(box.x1 + 0.5) + 1, 0)),
    )
