"""Volumes as sources of slices: read slab by slab, shown in a plane, masks brought back to the file's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trocar.formats.intensity import UNKNOWN, Preparation, Values, WindowChoice, choose_window, describe, preparation
from trocar.formats.window import Window
from trocar.frames import Frame
from trocar.geometry import Geometry
from trocar.masks import FrameMasks, from_label_map

PLANES = {"axial": "SPL", "coronal": "PIL", "sagittal": "LIP"}
"""Where slices, rows and columns point to: as radiologists look at them (axial: from the feet, front side up)."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK count patient coordinates to the left and back, NIfTI and we to the right and front."""


class Voxels(Protocol):
    """The values of a volume, in the order of its file's axes, read when they are asked for."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def slab_axis(self) -> int:
        """The axis across which slabs are read with least effort."""
        ...

    def slab(self, axis: int, index: int) -> NDArray[Any]:
        """The values at `index` of `axis`: an array of the other two axes in their order, [RGB] last."""
        ...


class ArrayVoxels:
    """Voxels of anything that is sliced like an array: in memory, mapped from a file, or an HDF5 data set.

    Args:
        array: three axes, or four with RGB last.
        slope, intercept: measured = stored * slope + intercept.
        slab_axis: see Voxels.
    """

    def __init__(self, array: Any, slope: float = 1.0, intercept: float = 0.0, slab_axis: int = 0) -> None:
        self._array = array
        self._scale = (slope, intercept)
        self.slab_axis = slab_axis
        x, y, z = array.shape[:3]
        self.shape: tuple[int, int, int] = (int(x), int(y), int(z))

    def slab(self, axis: int, index: int) -> NDArray[Any]:
        """The measured values at `index` of `axis`."""
        where: list[int | slice] = [slice(None)] * 3
        where[axis] = index
        return rescaled(np.asarray(self._array[tuple(where)]), *self._scale)


def rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """stored * slope + intercept: whole numbers where all three are, else float32."""
    if (slope, intercept) == (1, 0):
        return stored
    if stored.dtype.kind in "iu" and float(slope).is_integer() and float(intercept).is_integer():
        return stored.astype(np.int64) * int(slope) + int(intercept)
    return np.asarray(stored.astype(np.float64) * slope + intercept, np.float32)


@dataclass(frozen=True)
class Grid:
    """Where voxels lie.

    Args:
        affine: 4x4 map from the file's voxel index to RAS+ mm.
        known: "affine", "spacing" (orientation and origin are a convention) or "nothing" (spacing is, too).
    """

    affine: NDArray[np.float64]
    known: str = "affine"


def stack_grid(spacing_mm: tuple[float, float, float] | None = None) -> Grid:
    """The grid of a (slice, row, column) array that says no more: taken as axial, feet first, front side up."""
    slices, rows, columns = spacing_mm or (1.0, 1.0, 1.0)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = slices, -rows, -columns, 1
    return Grid(affine, "spacing" if spacing_mm else "nothing")


def itk_affine(spacing: Any, direction: Any, origin: Any) -> NDArray[np.float64]:
    """The affine to RAS+ mm of ITK's three (index (i, j, k), LPS)."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, np.float64).reshape(3, 3) * np.asarray(spacing, np.float64)
    affine[:3, 3] = origin
    return LPS_TO_RAS @ affine


class VolumeSource:
    """A volume as a source of slices.

    The voxel axes are permuted and flipped, never resampled, to the plane asked for; an oblique volume keeps its own
    slices. `geometry` maps (slice, row, column) to RAS+ mm; it has no affine or spacing where the file says none.

    Args:
        name: where it comes from, for messages.
        voxels: its values.
        grid: where they lie.
        plane: "axial" (from feet to head), "coronal" (front to back) or "sagittal" (right to left).
        window: how values become grey levels; see `Preparation`.
        values: what the file says about its values.

    Raises:
        ValueError: an unknown plane or window, or a spacing that is zero or not a number.
    """

    rate_hz: float | None = None

    def __init__(
        self,
        name: str,
        voxels: Voxels,
        grid: Grid,
        plane: str = "axial",
        window: WindowChoice = "auto",
        values: Values = UNKNOWN,
    ) -> None:
        self.name = name
        self.voxels = voxels
        self.grid = grid
        self._wanted: Preparation = preparation(window)
        self._meaning = values
        self._to_frames = _transform(grid, plane, name)
        self._start, shape = self._region()
        # Rows of the inverse map say where a frame-ordered index lies in the file.
        shift = np.eye(4)
        shift[:3, 3] = self._start
        affine = grid.affine @ shift @ _orientations().inv_ornt_aff(self._to_frames, shape)
        spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
        self._cropped_shape = shape
        self._order = [int(np.flatnonzero(self._to_frames[:, 0] == axis)[0]) for axis in range(3)]
        self._count, rows, columns = (shape[axis] for axis in self._order)
        self.geometry = Geometry(
            (rows, columns),
            None if grid.known == "nothing" else spacing,
            affine if grid.known == "affine" else None,
        )

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Frame:
        values = self.values(index)
        if values.ndim == 3:
            return Frame(index, np.ascontiguousarray(values, np.uint8))
        window = self.window or self._measured(lambda: [values])
        grey = window.apply(values)
        if self._meaning.inverted:
            grey = 255 - grey
        return Frame(index, np.repeat(grey[..., None], 3, axis=2))

    def values(self, index: int) -> NDArray[Any]:
        """The measured values of a slice, (rows, columns) or (rows, columns, RGB), as the file holds them.

        Raises:
            IndexError: there is no such slice.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"slice {index} is outside {self.name}, which has slices 0 to {len(self) - 1}")
        axis, rows, columns = self._order
        flips = self._to_frames[:, 1] < 0
        at = self._cropped_shape[axis] - 1 - index if flips[axis] else index
        slab = self._slab(axis, at)
        if rows > columns:
            slab = slab.swapaxes(0, 1)
        return slab[:: -1 if flips[rows] else 1, :: -1 if flips[columns] else 1]

    def to_voxels(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Bring a (slice, row, column) array back to the file's order and shape; what was cropped away is 0."""
        identity = np.array([[0, 1], [1, 1], [2, 1]], float)
        maps = _orientations()
        part = np.asarray(maps.apply_orientation(volume, maps.ornt_transform(identity, self._to_frames)))
        if part.shape == self.voxels.shape:
            return part
        whole = np.zeros(self.voxels.shape, part.dtype)
        whole[tuple(slice(a, a + n) for a, n in zip(self._start, part.shape, strict=True))] = part
        return whole

    @cached_property
    def window(self) -> Window | None:
        """What becomes black and white in all slices; None where each slice has a window of its own."""
        if self._wanted.scope == "frame":
            return None
        axis = self.voxels.slab_axis
        return self._measured(lambda: (self._slab(axis, at) for at in range(self._cropped_shape[axis])))

    @property
    def preparation(self) -> dict[str, Any]:
        """What is done to the values, for the record of a run; it measures the volume if nothing has yet."""
        said = describe(self._wanted, self._meaning, self.window)
        if self._wanted.crop:
            said["crop"] = {"start": list(self._start), "shape": list(self._cropped_shape), "of": self.voxels.shape}
        return said

    def _measured(self, slabs: Any) -> Window:
        kept = np.prod(self._cropped_shape) / np.prod(self.voxels.shape)
        return choose_window(self._wanted, slabs, self._meaning, cropped=1 - float(kept))

    def _slab(self, axis: int, index: int) -> NDArray[Any]:
        slab = self.voxels.slab(axis, self._start[axis] + index)
        first, second = (a for a in range(3) if a != axis)
        rows, columns = (slice(self._start[a], self._start[a] + self._cropped_shape[a]) for a in (first, second))
        return slab[rows, columns]

    def _region(self) -> tuple[tuple[int, ...], tuple[int, int, int]]:
        """Where the voxels that are shown begin, and how many there are each way, in the file's order."""
        full = self.voxels.shape
        if not self._wanted.crop:
            return (0, 0, 0), full
        axis = self.voxels.slab_axis
        others = [a for a in range(3) if a != axis]
        filled = [np.zeros(n, np.bool_) for n in full]
        for at in range(full[axis]):
            inside = self.voxels.slab(axis, at) != 0
            inside = inside.any(axis=2) if inside.ndim == 3 else inside
            filled[axis][at] = inside.any()
            filled[others[0]] |= inside.any(axis=1)
            filled[others[1]] |= inside.any(axis=0)
        places = [np.flatnonzero(one) for one in filled]
        if not all(place.size for place in places):
            return (0, 0, 0), full
        starts = tuple(int(place[0]) for place in places)
        x, y, z = (int(place[-1] - place[0]) + 1 for place in places)
        return starts, (x, y, z)


def volume_masks(source: VolumeSource) -> Iterator[FrameMasks]:
    """The masks of a volume of labels, slice by slice.

    Every object of the volume is in every frame, with an empty mask where it is absent.

    Raises:
        ValueError: it does not hold whole numbers.
    """
    ids: set[int] = set()
    for index in range(len(source)):
        labels = source.values(index)
        if labels.ndim != 2 or not np.array_equal(labels, np.trunc(labels)):
            raise ValueError(f"{source.name} holds fractions, not labels: it is a picture or a probability map")
        ids.update(int(i) for i in np.unique(labels) if i != 0)
    for index in range(len(source)):
        yield from_label_map(source.values(index).astype(np.int64), index, sorted(ids))


def _orientations() -> Any:
    """nibabel's maps between voxel orders as (axis, flip) rows; untyped, and slow to import for who has no volume."""
    from nibabel import orientations as maps

    return maps


def _transform(grid: Grid, plane: str, name: str) -> NDArray[Any]:
    """The permutation and flips from the file's voxel order to (slice, row, column)."""
    if plane not in PLANES:
        raise ValueError(f"no plane is called {plane!r}: use {', '.join(PLANES)}")
    spacing = np.linalg.norm(grid.affine[:3, :3], axis=0)
    if not np.isfinite(grid.affine).all() or not (spacing > 0).all():
        sizes = " x ".join(f"{s:g}" for s in spacing)
        raise ValueError(f"{name} does not say where its voxels lie (spacing {sizes} mm): mend its header first")
    maps = _orientations()
    orientation = maps.io_orientation(grid.affine)
    if np.isnan(orientation).any():
        raise ValueError(f"{name} does not say where its axes point (its affine is singular): mend its header first")
    return np.asarray(maps.ornt_transform(orientation, maps.axcodes2ornt(PLANES[plane])))
