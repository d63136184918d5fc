"""The colours that people see objects in."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray


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
