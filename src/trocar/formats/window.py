"""From measured values to the grey levels 0..255 that the network sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRESETS: dict[str, tuple[float, float]] = {
    "abdomen": (40, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
}
"""CT windows as (level, width) in Hounsfield units; MedSAM prepares all its CT with the abdomen's."""

AIR_HU = -500
"""Below this only CT goes in practice: MR intensities start near zero, air is -1000 HU."""


@dataclass(frozen=True)
class Window:
    """Values from `low` to `high` are spread over 0..255; what lies outside is clipped."""

    low: float
    high: float

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Grey levels, of the same shape; NaN becomes 0."""
        scaled = (np.asarray(values, np.float32) - self.low) * (255 / max(self.high - self.low, 1e-9))
        bounded = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
        return np.asarray(bounded.round(), np.uint8)


def percentile_window(values: NDArray[np.generic]) -> Window:
    """The 0.5 to 99.5 percentiles of the positive values (MedSAM's rule for all that is not CT)."""
    numbers = np.asarray(values)
    positive = numbers[np.isfinite(numbers) & (numbers > 0)]
    if positive.size == 0:
        return Window(0.0, 1.0)
    low, high = np.percentile(positive, (0.5, 99.5))
    # A picture of one single value keeps it bright rather than turning all black.
    return Window(float(low), float(high)) if high > low else Window(0.0, float(high))


def choose_window(window: str | tuple[float, float], values: NDArray[np.generic]) -> Window:
    """Resolve what a user asked for.

    Args:
        window: "auto" (the abdomen's window where there is air in Hounsfield units, percentiles elsewhere),
            "percentile", the name of a CT preset, or (level, width).
        values: all values of the volume or picture.

    Raises:
        ValueError: the name is not known, or the width is not positive.
    """
    if window == "auto":
        window = "abdomen" if np.nanmin(np.asarray(values)) <= AIR_HU else "percentile"
    if window == "percentile":
        return percentile_window(values)
    if isinstance(window, str):
        if window not in PRESETS:
            names = ", ".join(("auto", "percentile", *PRESETS))
            raise ValueError(f"no window is called {window!r}: use {names}, or level and width")
        window = PRESETS[window]
    level, width = window
    if not width > 0:
        raise ValueError(f"a window's width must be positive, not {width:g}")
    return Window(level - width / 2, level + width / 2)
