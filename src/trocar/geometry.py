"""Where pixels lie: sizes, spacings and the maps between coordinate frames, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Geometry:
    """The pixel grid that a source lives on.

    Args:
        size: (rows, columns) of one frame, in pixels.
        spacing_mm: distance between neighbouring pixels as (rows, columns), or, where frames are slices of a volume,
            (slices, rows, columns); None where it is unknown (video).
        affine: 4x4 map from the voxel index (slice, row, column, 1) to patient coordinates in mm (RAS+), for volumes.
    """

    size: tuple[int, int]
    spacing_mm: tuple[float, ...] | None = None
    affine: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"a frame needs at least one pixel each way, not rows x columns = {self.size}")

    def contains(self, x: float, y: float) -> bool:
        """Whether the point (x, y), in pixels, lies on the frame, its far edges included."""
        rows, columns = self.size
        return 0 <= x <= columns and 0 <= y <= rows

    def scaled(self, xy: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
        """Map (..., 2) points (x, y) in source pixels to those of the frame resized to `size` (rows, columns).

        The two axes scale apart, as networks may see a frame stretched (SAM 2, section 4).
        """
        rows, columns = self.size
        scale = np.array([size[1] / columns, size[0] / rows], np.float32)
        scaled: NDArray[np.float32] = np.asarray(xy, np.float32) * scale
        return scaled
