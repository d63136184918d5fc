"""Several masks as one picture of object ids, and the colours that people see them in."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from trocar.masks import FrameMasks


def _colours() -> NDArray[np.uint8]:
    # Steps of the golden ratio around the hue circle keep neighbouring ids far apart however many there are.
    table = [(0.0, 0.0, 0.0)]
    for object_id in range(1, 256):
        turn = object_id - 1  # from blue, which stands out on tissue
        saturation, value = ((0.85, 1.0), (0.6, 1.0), (1.0, 0.8))[turn % 3]
        table.append(colorsys.hsv_to_rgb((0.55 + turn * 0.618034) % 1.0, saturation, value))
    return (np.array(table) * 255).round().astype(np.uint8)


COLOURS: NDArray[np.uint8] = _colours()
"""(256, 3) RGB: black for the background, then one colour an object id."""


def colour_of(object_id: int) -> tuple[int, int, int]:
    """The RGB colour of an object; ids above 255 begin again."""
    red, green, blue = COLOURS[(object_id - 1) % 255 + 1].tolist()
    return red, green, blue


def label_map(masks: FrameMasks, size: tuple[int, int], highest: int) -> NDArray[np.uint16]:
    """Draw all objects of a frame into one (rows, columns) map of ids, 0 where there is none.

    Where masks overlap the higher id is on top; formats that keep overlaps store masks one by one.

    Raises:
        ValueError: an id outside 1..highest, or a mask that is not of `size`.
    """
    labels = np.zeros(size, np.uint16)
    for object_id in sorted(masks.masks):
        mask = masks.masks[object_id]
        if not 1 <= object_id <= highest:
            raise ValueError(
                f"a label map here holds object ids 1 to {highest}, not {object_id}: renumber the objects or write rle"
            )
        if mask.shape != size:
            raise ValueError(
                f"the mask of object {object_id} on frame {masks.frame} is {mask.shape}, its source is {size}"
            )
        labels[mask] = object_id
    return labels


def masks_of(frame: int, labels: NDArray[np.integer]) -> FrameMasks:
    """The masks that a map of ids holds; objects that are not on the frame are not among them."""
    return FrameMasks(frame, {int(i): labels == i for i in np.unique(labels) if i != 0})
