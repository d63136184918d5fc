"""NIfTI volumes: slices as frames, and label volumes written back onto exactly the same voxels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from trocar.formats.whole_file import whole_file
from trocar.formats.window import choose_window
from trocar.frames import Frame, FrameSource
from trocar.geometry import Geometry
from trocar.masks import FrameMasks, from_label_map, to_label_map

EXTENSIONS = (".nii", ".nii.gz")

PLANES = {"axial": "SPL", "coronal": "PIL", "sagittal": "LIP"}
"""Where slices, rows and columns point to: as radiologists look at them (axial: from the feet, front side up)."""

HIGHEST_ID = 65535

orientations: Any = nib.orientations
"""Untyped in nibabel: maps between voxel orders as (axis, flip) rows."""


class NiftiSource:
    """A 3-D NIfTI volume as a source of slices.

    The voxel axes are permuted and flipped, never resampled, to the plane asked for; an oblique volume keeps its own
    slices. `geometry` maps (slice, row, column) to RAS+ mm.

    Args:
        path: .nii or .nii.gz.
        plane: "axial" (from feet to head), "coronal" (front to back) or "sagittal" (right to left).
        window: "auto", "percentile", a CT preset or (level, width); see `choose_window`.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, not three-dimensional, or an unknown plane or window.
    """

    rate_hz: float | None = None

    def __init__(self, path: str | Path, plane: str = "axial", window: str | tuple[float, float] = "auto") -> None:
        self.name = str(path)
        self.image = load_volume(Path(path))
        shape = volume_shape(self.image)
        self._to_frames = _transform(self.image, plane, self.name)
        values = read_voxels(self.image, self.name).reshape(shape)
        self._window = choose_window(window, values)
        self._slices = orientations.apply_orientation(values, self._to_frames)
        # Rows of the inverse map say where a frame-ordered index lies in the file.
        affine = np.asarray(self.image.affine, np.float64) @ orientations.inv_ornt_aff(self._to_frames, shape)
        spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
        self.geometry = Geometry((self._slices.shape[1], self._slices.shape[2]), spacing, affine)

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"slice {index} is outside {self.name}, which has slices 0 to {len(self) - 1}")
        grey = self._window.apply(self._slices[index])
        return Frame(index, np.repeat(grey[..., None], 3, axis=2))

    def to_voxels(self, volume: NDArray[np.generic]) -> NDArray[np.generic]:
        """Bring a (slice, row, column) array back to the order and shape of the file's voxels."""
        native = np.asarray(orientations.apply_orientation(volume, _inverse(self._to_frames)))
        return native.reshape(self.image.shape)


def load_volume(path: Path) -> Any:
    """Open a NIfTI file and check that it holds one volume; its voxels are not read yet.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or not one volume of numbers, with the remedy.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    try:
        image: Any = nib.load(path)
    except (ImageFileError, OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as NIfTI: it is damaged or of another kind") from error
    if not isinstance(image, nib.Nifti1Pair):
        raise ValueError(f"{path} is {type(image).__name__}, not NIfTI: convert it to .nii.gz first")
    if image.header.get_data_dtype().kind not in "iuf":
        raise ValueError(f"{path} holds colours or complex numbers: only volumes of one grey value a voxel can be read")
    volume_shape(image)
    return image


def volume_shape(image: Any) -> tuple[int, int, int]:
    """The shape as (x, y, z): a 2-D image is one slice, axes of length 1 beyond the third do not count.

    Raises:
        ValueError: there are several volumes.
    """
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 2 or any(n != 1 for n in shape[3:]):
        count = int(np.prod(shape[3:]))
        raise ValueError(
            f"{image.get_filename()} has shape {shape}, that is {count} volumes: save the one you want as a 3-D file "
            "(nibabel.four_to_three does it)"
        )
    x, y, z = (*shape, 1)[:3]
    return x, y, z


def read_voxels(image: Any, name: str) -> NDArray[Any]:
    """The voxels in the file's order: its own integers, or float32 where a slope or floating numbers are stored."""
    scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    try:
        if scaled or image.get_data_dtype().kind == "f":
            return np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))
        return np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{name} is cut short or damaged: copy it again from where it came from") from error


def write_nifti(path: Path, frames: Iterable[FrameMasks], source: FrameSource) -> None:
    """Write masks as a label volume with the source's shape, affine, qform, sform and units.

    Slices without masks are 0. Where objects overlap the higher id is stored.

    Raises:
        ValueError: the source is not a NIfTI volume.
    """
    if not isinstance(source, NiftiSource):
        raise ValueError(f"nifti output needs a NIfTI volume as its source, not {source.name}: choose png or rle")
    labels = np.zeros((len(source), *source.geometry.size), np.uint16)
    for masks in frames:
        labels[masks.frame] = to_label_map(masks, source.geometry.size, HIGHEST_ID)
    dtype = np.uint8 if labels.max(initial=0) <= 255 else np.uint16
    header = source.image.header.copy()
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    # Without an affine of its own the image keeps both of the header's, and their codes.
    image = type(source.image)(source.to_voxels(labels).astype(dtype), None, header)
    with whole_file(path) as temporary:
        nib.save(image, temporary)


def read_nifti_masks(path: Path, plane: str = "axial") -> Iterator[FrameMasks]:
    """Masks of a label volume, slice by slice in the order in which `NiftiSource` shows them.

    Every object of the volume is in every frame, with an empty mask where it is absent.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or not a volume of whole numbers.
    """
    image = load_volume(path)
    labels = read_voxels(image, str(path)).reshape(volume_shape(image))
    whole = labels.astype(np.int64)
    if not np.array_equal(whole, labels):
        raise ValueError(f"{path} holds fractions, not labels: it is a picture or a probability map")
    slices = orientations.apply_orientation(whole, _transform(image, plane, str(path)))
    ids = [int(i) for i in np.unique(slices) if i != 0]
    for frame, picture in enumerate(slices):
        yield from_label_map(picture, frame, ids)


def _transform(image: Any, plane: str, name: str) -> NDArray[Any]:
    """The permutation and flips from the file's voxel order to (slice, row, column)."""
    if plane not in PLANES:
        raise ValueError(f"no plane is called {plane!r}: use {', '.join(PLANES)}")
    orientation = orientations.io_orientation(image.affine)
    if np.isnan(orientation).any():
        raise ValueError(f"{name} does not say where its axes point (its affine is singular): mend its header first")
    return np.asarray(orientations.ornt_transform(orientation, orientations.axcodes2ornt(PLANES[plane])))


def _inverse(transform: NDArray[Any]) -> NDArray[Any]:
    identity = np.array([[0, 1], [1, 1], [2, 1]], float)
    return np.asarray(orientations.ornt_transform(identity, transform))
