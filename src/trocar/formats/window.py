"""From measured values to the grey levels 0..255 that the network sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRESETS: dict[str, tuple[float, float]] = {
    "abdomen": (40, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (60, 160),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "stroke": (40, 40),
}
"""CT windows as (level, width) in Hounsfield units; MedSAM prepares all its CT with the abdomen's."""


@dataclass(frozen=True)
class Window:
    """Values from `low` to `high` are spread over 0..255; what lies outside is clipped.

    Args:
        low, high: the values that become 0 and 255.
        clip: (lowest, highest) that values are cut off at before, where that is narrower.
    """

    low: float
    high: float
    clip: tuple[float, float] | None = None

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Grey levels, of the same shape; NaN becomes 0."""
        numbers = np.asarray(values, np.float32)
        if self.clip is not None:
            numbers = numbers.clip(*self.clip)
        scaled = (numbers - self.low) * (255 / max(self.high - self.low, 1e-9))
        bounded = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
        return np.asarray(bounded.round(), np.uint8)


def level_and_width(level: float, width: float) -> Window:
    """The window around `level`, as CT workstations name them.

    Raises:
        ValueError: the width is not positive.
    """
    if not width > 0:
        raise ValueError(f"a window's width must be positive, not {width:g}")
    return Window(level - width / 2, level + width / 2)
