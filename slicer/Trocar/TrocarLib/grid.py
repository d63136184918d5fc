"""How the slices that a server shows lie on the voxels of a volume: the same voxels, with other axes in front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OFF = 0.01
"""Voxels by which two descriptions of the same voxel may differ: files hold numbers of a finite length."""


class Grid:
    """The voxels of a volume as Slicer has them, and as the server counts them.

    Args:
        ijk_to_ras: 4x4, Slicer's (i, j, k, 1) to RAS mm.
        shape: (k, j, i) of the voxel array.
        affine: 4x4, the server's (slice, row, column, 1) to RAS mm.
        lengths: (slices, rows, columns) at the server.

    Raises:
        ValueError: these are not the same voxels.
    """

    def __init__(
        self,
        ijk_to_ras: NDArray[np.float64],
        shape: Sequence[int],
        affine: NDArray[np.float64],
        lengths: Sequence[int],
    ) -> None:
        self.lengths = tuple(lengths)
        self._to_slices = np.linalg.inv(affine)
        # Column a says which way, in i, j and k, a step along axis a of (slice, row, column) goes.
        to_voxels = np.linalg.inv(ijk_to_ras) @ affine
        steps = np.rint(to_voxels[:3, :3]).astype(int)
        turned = np.abs(steps)
        one_each = (turned.sum(axis=0) == 1).all() and (turned.sum(axis=1) == 1).all()
        self._axes = [2 - int(axis) for axis in turned.argmax(axis=0)]  # arrays are (k, j, i)
        self._back = [int(steps[:, axis].sum()) < 0 for axis in range(3)]
        fits = one_each and tuple(shape[axis] for axis in self._axes) == self.lengths
        corners = np.array([[0, 0, 0, 1], [*(length - 1 for length in lengths), 1]], float)
        if fits:
            expected = steps @ (corners[:, :3] - [(n - 1) * b for n, b in zip(lengths, self._back, strict=True)]).T
            fits = bool(np.abs((to_voxels @ corners.T)[:3] - expected).max() < OFF)
        if not fits:
            raise ValueError("the server shows other voxels than this volume has: open the volume again")

    def view(self, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        """A (k, j, i) array as (slice, row, column), without a copy: what is written to one is in the other."""
        turned = voxels.transpose(self._axes)
        return turned[tuple(slice(None, None, -1 if back else 1) for back in self._back)]

    def slice_of(self, ras: Sequence[float]) -> int:
        """The slice on which a point in mm lies, or beside which.

        Raises:
            ValueError: it lies beyond the first or the last slice.
        """
        frame = round(float((self._to_slices @ [*ras, 1.0])[0]))
        if not 0 <= frame < self.lengths[0]:
            raise ValueError("this lies beyond the slices of the volume: go to one of them")
        return frame

    def place(self, ras: Sequence[float]) -> tuple[int, float, float]:
        """(slice, x, y) of a point in mm; x and y in pixels, whose middles are at one half.

        Raises:
            ValueError: it lies outside the volume.
        """
        at, row, column = (self._to_slices @ [*ras, 1.0])[:3]
        frame, x, y = round(float(at)), float(column) + 0.5, float(row) + 0.5
        if not (0 <= frame < self.lengths[0] and 0 <= y <= self.lengths[1] and 0 <= x <= self.lengths[2]):
            raise ValueError(f"the point {', '.join(f'{v:.1f}' for v in ras)} mm lies outside the volume: move it in")
        return frame, x, y

    def box(self, corners: NDArray[np.float64]) -> tuple[int, list[float]]:
        """The middle slice of a box in the patient, and its outline [x0, y0, x1, y1] there, cut to the volume.

        Args:
            corners: (8, 3) in RAS mm.

        Raises:
            ValueError: nothing of it lies in the volume.
        """
        placed = (self._to_slices @ np.column_stack([corners, np.ones(len(corners))]).T)[:3]
        (at0, row0, column0), (at1, row1, column1) = placed.min(axis=1), placed.max(axis=1)
        slices, rows, columns = self.lengths
        x0, x1 = max(0.0, column0 + 0.5), min(float(columns), column1 + 0.5)
        y0, y1 = max(0.0, row0 + 0.5), min(float(rows), row1 + 0.5)
        frame = round(float(at0 + at1) / 2)
        if x1 <= x0 or y1 <= y0 or not 0 <= frame < slices:
            raise ValueError("the box lies outside the volume: move it in")
        return frame, [float(x0), float(y0), float(x1), float(y1)]
