"""MedSAM's `.npz`: pictures prepared as grey levels (`imgs`), with spacing, truth masks (`gts`) and boxes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.formats.intensity import Values, WindowChoice
from trocar.formats.mask_set import AS_IT_IS, MaskSet, ReadOptions, volume_mask_set
from trocar.formats.volume import ArrayVoxels, Grid, VolumeSource, itk_affine, stack_grid
from trocar.prompts import Box


class NpzSource(VolumeSource):
    """The pictures of a MedSAM `.npz` as a source of slices.

    `imgs` is (slice, row, column) or (slice, row, column, 3), `spacing` (x, y, z) in mm; where `direction` and
    `origin` are given, they are SimpleITK's. uint8 pictures are shown as they are.

    Args:
        path: the file.
        plane, window: see VolumeSource.
        key: the array to show.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or without such an array.
    """

    def __init__(
        self, path: str | Path, plane: str = "axial", window: WindowChoice = "auto", key: str = "imgs"
    ) -> None:
        arrays = _load(Path(path), {key, "spacing", "direction", "origin"})
        if key not in arrays:
            raise ValueError(f"{path} has no array {key!r}: MedSAM's layout is imgs, gts, spacing")
        values = arrays[key]
        if values.ndim == 2:
            values = values[None]
        colour = values.ndim == 4 and values.shape[3] == 3
        if not (values.ndim == 3 or colour) or values.dtype.kind not in "biuf" or values.size == 0:
            raise ValueError(
                f"{path}: {key} is {values.dtype} {values.shape}, not (slices, rows, columns[, 3]) numbers"
            )
        if colour and values.dtype != np.uint8:
            raise ValueError(f"{path}: {key} is {values.dtype} colour: only uint8 colour can be shown")
        meaning = Values(grey_levels=values.dtype == np.uint8 and key == "imgs")
        super().__init__(str(path), ArrayVoxels(values), _grid(arrays), plane, window, meaning)


def read_npz_masks(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """The truth masks of a MedSAM `.npz` (`gts`), in the order in which `NpzSource` shows the slices.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or without truth.
    """
    return volume_mask_set(NpzSource(path, options.plane, key="gts"))


def read_npz_boxes(path: Path) -> list[Box]:
    """The boxes of a 2-D MedSAM `.npz` (`boxes`: rows of x0, y0, x1, y1 in pixels); [] where it has none.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or boxes of another layout.
    """
    boxes = _load(path, {"boxes"}).get("boxes")
    if boxes is None:
        return []
    if boxes.ndim == 1:
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iuf":
        raise ValueError(f"{path}: boxes is {boxes.dtype} {boxes.shape}, not rows of x0, y0, x1, y1")
    return [Box(*(float(side) for side in box)) for box in boxes]


def _load(path: Path, names: set[str]) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} cannot be read as npz: it is damaged or of another kind")
    try:
        # Never pickles: they could run anything.
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names & set(file.files)}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else "it is damaged or of another kind"
        raise ValueError(f"{path} cannot be read as npz: {reason}") from error


def _grid(arrays: dict[str, NDArray[Any]]) -> Grid:
    spacing = arrays.get("spacing")
    if spacing is None or spacing.size != 3:
        return stack_grid()
    x, y, z = (float(s) for s in spacing.ravel())
    if "direction" not in arrays or arrays["direction"].size != 9 or "origin" not in arrays:
        return stack_grid((z, y, x))
    itk = itk_affine((x, y, z), arrays["direction"], arrays["origin"])
    # ITK's index is (i, j, k), the array's (k, j, i).
    return Grid(itk[:, [2, 1, 0, 3]])
