"""HDF5 files: one data set of them as a picture or a volume, read slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trocar.formats.intensity import WindowChoice
from trocar.formats.mask_set import AS_IT_IS, MaskSet, ReadOptions, volume_mask_set
from trocar.formats.volume import ArrayVoxels, VolumeSource, stack_grid


class Hdf5Source(VolumeSource):
    """A data set (rows, columns), (slices, rows, columns) or uint8 (slices, rows, columns, 3) as a source of slices.

    HDF5 says nothing about spacing or orientation, so `geometry` has none, and the first axis is taken as axial.

    Args:
        path: the file.
        plane, window: see VolumeSource.
        key: the name of the data set; it may be left out where the file holds one only that can be shown.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, no such data set, or several to choose from: they are listed.
    """

    def __init__(
        self, path: str | Path, plane: str = "axial", window: WindowChoice = "auto", key: str | None = None
    ) -> None:
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: check the name")
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} cannot be read as HDF5: it is damaged or of another kind") from error
        data = _choose(self._file, key, path)
        name = f"{path}:{data.name.lstrip('/')}"
        super().__init__(name, ArrayVoxels(data if data.ndim > 2 else _Flat(data)), stack_grid(), plane, window)


def read_hdf5_masks(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """The masks of a data set of labels, in the order in which `Hdf5Source` shows the slices.

    Raises:
        FileNotFoundError, ValueError: see Hdf5Source; or it holds fractions.
    """
    return volume_mask_set(Hdf5Source(path, options.plane, key=options.key))


class _Flat:
    """A two-dimensional data set with an axis of one slice before it, still read when it is asked for."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.shape = (1, *data.shape)

    def __getitem__(self, where: tuple[int | slice, ...]) -> NDArray[Any]:
        picture: NDArray[Any] = self._data[()][None][where]
        return picture


def _choose(file: Any, key: str | None, path: Path) -> Any:
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    shown = {name: data for name, data in found.items() if _can_be_shown(data)}
    listed = ", ".join(f"{name} {data.dtype} {data.shape}" for name, data in found.items()) or "nothing"
    if key is None:
        if len(shown) != 1:
            raise ValueError(f"{path} holds {listed}: say which with key=NAME")
        return next(iter(shown.values()))
    name = key.strip("/")
    if name not in shown:
        why = "cannot be shown as slices" if name in found else "is not there"
        raise ValueError(f"the data set {key!r} {why}: {path} holds {listed}")
    return shown[name]


def _can_be_shown(data: Any) -> bool:
    colour = data.ndim == 4 and data.shape[3] == 3 and data.dtype == np.uint8
    return data.dtype.kind in "biuf" and (data.ndim in (2, 3) or colour) and data.size > 0
