"""NRRD and MetaImage volumes through SimpleITK; uncompressed ones in one file are mapped, not read into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from trocar.formats.intensity import WindowChoice
from trocar.formats.label_volume import read_itk_labels
from trocar.formats.mask_set import AS_IT_IS, MaskSet, ReadOptions
from trocar.formats.volume import ArrayVoxels, Grid, VolumeSource, itk_affine

META_EXTENSIONS = (".mha", ".mhd")

DTYPES: dict[int, str] = {
    sitk.sitkInt8: "i1",
    sitk.sitkUInt8: "u1",
    sitk.sitkInt16: "i2",
    sitk.sitkUInt16: "u2",
    sitk.sitkInt32: "i4",
    sitk.sitkUInt32: "u4",
    sitk.sitkInt64: "i8",
    sitk.sitkUInt64: "u8",
    sitk.sitkFloat32: "f4",
    sitk.sitkFloat64: "f8",
}
"""Of SimpleITK's pixel types those with one number a voxel."""

HEADER_LINES = 10_000
"""A header is shorter; what goes on for longer is damaged."""


class ItkSource(VolumeSource):
    """A NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd) volume as a source of slices.

    The file's voxel order is ITK's index (i, j, k), i fastest. A NRRD that does not name its space has no affine.

    Args:
        path: the file, or the header where the two lie apart.
        plane, window: see VolumeSource.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, colours, several volumes, or a spacing that is none.
    """

    def __init__(self, path: str | Path, plane: str = "axial", window: WindowChoice = "auto") -> None:
        path = Path(path)
        reader = _open(path)
        shape = _shape(reader, path)
        super().__init__(str(path), _voxels(reader, path, shape), _grid(reader, path), plane, window)


def read_itk_masks(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """The masks of a label volume, in the order in which `ItkSource` shows the slices.

    Raises:
        FileNotFoundError, ValueError: see ItkSource; or it holds fractions.
    """
    return read_itk_labels(ItkSource(path, options.plane), path)


def _open(path: Path) -> sitk.ImageFileReader:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        # A spacing of zero is among the things that ITK refuses here, at the end of a page of text.
        reason = " ".join(str(error).split("ITK ERROR:")[-1].split())
        raise ValueError(f"{path} cannot be read: its header is damaged or of another kind ({reason})") from error
    if reader.GetNumberOfComponents() != 1 or reader.GetPixelID() not in DTYPES:
        raise ValueError(f"{path} holds several numbers a voxel: only volumes of one grey value a voxel can be read")
    return reader


def _shape(reader: sitk.ImageFileReader, path: Path) -> tuple[int, int, int]:
    size = tuple(int(n) for n in reader.GetSize())
    if any(n != 1 for n in size[3:]):
        count = int(np.prod(size[3:]))
        raise ValueError(f"{path} has shape {size}, that is {count} volumes: save the one you want as a 3-D file")
    x, y, z = (*size, 1)[:3]
    return x, y, z


def _grid(reader: sitk.ImageFileReader, path: Path) -> Grid:
    dimension = reader.GetDimension()
    direction, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    used = min(dimension, 3)
    direction[:used, :used] = np.reshape(reader.GetDirection(), (dimension, dimension))[:used, :used]
    spacing[:used], origin[:used] = reader.GetSpacing()[:used], reader.GetOrigin()[:used]
    says_where = path.suffix.lower() in META_EXTENSIONS or reader.HasMetaDataKey("NRRD_space")
    return Grid(itk_affine(spacing, direction, origin), "affine" if says_where else "spacing")


class _ImageVoxels(ArrayVoxels):
    """Voxels of a SimpleITK image in memory: slabs are copies, for NumPy's view dies with the image."""

    def __init__(self, image: sitk.Image, shape: tuple[int, int, int]) -> None:
        self._image = image
        super().__init__(sitk.GetArrayViewFromImage(image).transpose().reshape(shape, order="F"), slab_axis=2)

    def slab(self, axis: int, index: int) -> NDArray[Any]:
        """The values at `index` of `axis`."""
        return super().slab(axis, index).copy()


def _voxels(reader: sitk.ImageFileReader, path: Path, shape: tuple[int, int, int]) -> ArrayVoxels:
    array = _mapped(path, np.dtype(DTYPES[reader.GetPixelID()]), shape)
    if array is not None:
        return ArrayVoxels(array, slab_axis=2)
    try:
        return _ImageVoxels(reader.Execute(), shape)
    except RuntimeError as error:
        raise ValueError(f"{path} is cut short or damaged: copy it again from where it came from") from error


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, int, int]) -> NDArray[Any] | None:
    """The voxels mapped from the file; None where they are compressed, text, or in another file.

    Raises:
        ValueError: the file is cut short.
    """
    fields, start = _header(path)
    if path.suffix.lower() in META_EXTENSIONS:
        off = ("compresseddata", "true"), ("binarydata", "false")
        plain = fields.get("elementdatafile") == "local" and not any(fields.get(key) == value for key, value in off)
        plain = plain and "headersize" not in fields
        big = "true" in (fields.get("binarydatabyteordermsb"), fields.get("elementbyteordermsb"))
    else:
        plain = fields.get("encoding") == "raw" and not fields.keys() & {"datafile", "lineskip", "byteskip"}
        big = fields.get("endian") == "big"
    if not plain:
        return None
    if start + int(np.prod(shape)) * dtype.itemsize > path.stat().st_size:
        raise ValueError(f"{path} is cut short: copy it again from where it came from")
    return np.memmap(path, dtype.newbyteorder(">" if big else "<"), "r", start, shape, order="F")


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a text header, lower case and without spaces in their names, and where it ends."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for _ in range(HEADER_LINES):
            line = file.readline().decode("latin-1").strip()
            key, _, value = line.partition("=" if path.suffix.lower() in META_EXTENSIONS else ":")
            key = key.replace(" ", "").lower()
            fields[key] = value.strip().lower()
            if not line or key == "elementdatafile":
                break
        return fields, file.tell()
