"""Cases from volume files, one of values and one of labels: NIfTI, NRRD, MetaImage, NumPy arrays.

Listing reads headers only. Of all label volumes the one that was used last stays open, so going through a case slice by
slice reads its labels once, and going through a whole set holds one of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case, FrameTruth, Mask
from trocar.formats.nifti import EXTENSIONS as NIFTI
from trocar.formats.nifti import NiftiSource, load_volume, volume_shape
from trocar.formats.volume import ArrayVoxels, Grid, VolumeSource, itk_affine, stack_grid

Meaning = Callable[[int], Collection[int]]

SAME_PLACE = 0.05
"""How far off a whole voxel labels may lie, in voxels: headers are written with few digits."""


def volume_case(
    name: str, image: Path, labels: Path, objects: Mapping[int, str], meaning: Meaning | None = None, group: str = ""
) -> Case:
    """A case from two files, its frames the axial slices from feet to head.

    Args:
        name, group: as for `Case`.
        image: the values.
        labels: a whole number a voxel, 0 for the ground; a smaller volume is placed by its affine.
        objects: object id -> class name.
        meaning: label -> ids of the objects that it belongs to; without it a label is an id.

    A case whose image is missing or damaged has no frames; opening it says what is wrong.
    """

    def opened() -> tuple[VolumeSource, tuple[int, int, int], tuple[int, int]]:
        source = read_volume(labels)
        return source, *_place(source, _header(image), labels)

    def truth(frame: int) -> FrameTruth:
        source, (first, top, left), (rows, columns) = kept(opened)
        values = np.zeros((rows, columns), np.int64)
        if 0 <= frame - first < len(source):
            found = source.values(frame - first)
            return label_truth(
                found if found.shape == values.shape else _inside(found, values, top, left), objects, labels, meaning
            )
        return FrameTruth({})

    return Case(name, slice_count(image), lambda: read_volume(image), truth, objects, group=group)


def label_truth(
    values: NDArray[Any], objects: Mapping[int, str], path: Path, meaning: Meaning | None = None
) -> FrameTruth:
    """The truth in (rows, columns) labels; see `volume_case`.

    Raises:
        ValueError: fractions, or a label that no object has; `path` is named.
    """
    masks: dict[int, Mask] = {}
    for value in np.unique(values):
        if value != np.trunc(value):
            raise ValueError(f"{path} holds fractions, not labels: is it the set's own file, unchanged?")
        if value == 0:
            continue
        ids = meaning(int(value)) if meaning else (int(value),)
        if not ids or not set(ids) <= objects.keys():
            raise ValueError(
                f"{path} holds the label {value:g}, which none of its {len(objects)} classes has: is it the set's own "
                "file, unchanged?"
            )
        for number in ids:
            mask = values == value
            masks[number] = masks[number] | mask if number in masks else mask
    return FrameTruth(masks)


@lru_cache(maxsize=1)
def kept(read: Callable[[], Any]) -> Any:
    """What `read` gives; it is called again only after another one was."""
    return read()


def read_volume(path: Path) -> VolumeSource:
    """A volume in the axial plane; of a .npy file the first axis are the slices.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or of another kind.
    """
    if path.name.endswith(NIFTI):
        return NiftiSource(path)
    if path.suffix == ".npy":
        return VolumeSource(str(path), ArrayVoxels(_mapped(path)), stack_grid())
    from trocar.formats.itk_image import ItkSource

    return ItkSource(path)


def slice_count(path: Path) -> int:
    """How many axial slices a volume has, from its header; 0 where that cannot be read."""
    try:
        return len(_header(path))
    except (OSError, ValueError):
        return 0


class _Unread:
    """Voxels of which only the header was read."""

    slab_axis = 0

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    def slab(self, axis: int, index: int) -> NDArray[Any]:
        raise TypeError("only the header of this volume was read")


def _header(path: Path) -> VolumeSource:
    """A volume's slices with their size and place, and without their values."""
    if path.suffix == ".npy":
        return read_volume(path)  # it is mapped, not read
    if path.name.endswith(NIFTI):
        image = load_volume(path)
        return VolumeSource(str(path), _Unread(volume_shape(image)), Grid(np.asarray(image.affine, np.float64)))
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        x, y, z = (int(n) for n in reader.GetSize())
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is missing, damaged or not one volume: fetch it again") from error
    grid = Grid(itk_affine(reader.GetSpacing(), reader.GetDirection(), reader.GetOrigin()))
    return VolumeSource(str(path), _Unread((x, y, z)), grid)


def _mapped(path: Path) -> NDArray[Any]:
    """(slices, rows, columns) of a .npy file, mapped from it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: is the set complete?")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as npy: it is damaged or cut short; fetch it again") from error
    if array.ndim != 3:
        raise ValueError(f"{path} has the shape {array.shape}: a volume of slices, rows and columns was expected")
    return array


def _place(labels: VolumeSource, image: VolumeSource, path: Path) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """Where the first voxel (slice, row, column) of labels lies in the image, and the rows and columns of that."""
    size = image.geometry.size
    if (len(labels), labels.geometry.size) == (len(image), size):
        return (0, 0, 0), size
    here, there = labels.geometry.affine, image.geometry.affine
    if here is not None and there is not None:
        to_image = np.linalg.inv(there) @ here
        first = np.rint(to_image[:3, 3])
        far = np.array([len(labels), *labels.geometry.size])
        off = np.abs(to_image[:3, :3] - np.eye(3)) @ far + np.abs(to_image[:3, 3] - first)
        if (off < SAME_PLACE).all():
            slice_, row, column = (int(n) for n in first)
            return (slice_, row, column), size
    raise ValueError(
        f"{path} has {len(labels)} slices of {labels.geometry.size} voxels, {image.name} has {len(image)} of {size}, "
        "and their headers do not say how they lie on one another: fetch both again"
    )


def _inside(found: NDArray[Any], values: NDArray[np.int64], top: int, left: int) -> NDArray[np.int64]:
    """`values` with the labels placed at a row and a column; what lies outside is left out."""
    rows, columns = np.nonzero(found)
    down, right = rows + top, columns + left
    there = (down >= 0) & (down < values.shape[0]) & (right >= 0) & (right < values.shape[1])
    values[down[there], right[there]] = found[rows[there], columns[there]]
    return values
