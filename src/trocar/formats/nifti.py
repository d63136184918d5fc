"""NIfTI volumes: slices as frames, and label volumes written back onto exactly the same voxels."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from trocar.formats.intensity import WindowChoice
from trocar.formats.label_volume import grid_of, label_volume
from trocar.formats.mask_set import AS_IT_IS, MaskSet, ReadOptions, volume_mask_set
from trocar.formats.volume import ArrayVoxels, Grid, VolumeSource
from trocar.formats.whole_file import whole_file

EXTENSIONS = (".nii", ".nii.gz")

PART_BYTES = 2**20


class NiftiSource(VolumeSource):
    """A 3-D NIfTI volume as a source of slices; an uncompressed one is mapped from its file, not read into memory.

    Args:
        path: .nii or .nii.gz.
        plane, window: see VolumeSource.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, not three-dimensional, or an unknown plane or window.
    """

    def __init__(self, path: str | Path, plane: str = "axial", window: WindowChoice = "auto") -> None:
        self.image = load_volume(Path(path))
        grid = Grid(np.asarray(self.image.affine, np.float64))
        super().__init__(str(path), _voxels(self.image, str(path)), grid, plane, window)

    def to_voxels(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Bring a (slice, row, column) array back to the file's order and shape; what was cropped away is 0."""
        return super().to_voxels(volume).reshape(self.image.shape)


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


def _voxels(image: Any, name: str) -> ArrayVoxels:
    """The voxels as they are stored, with the file's slope and intercept applied slab by slab."""
    compressed = name.lower().endswith(".gz")
    try:
        stored = _unpacked(image) if compressed else image.dataobj.get_unscaled()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{name} is cut short or damaged: copy it again from where it came from") from error
    array = stored.reshape(volume_shape(image), order="F")
    return ArrayVoxels(array, float(image.dataobj.slope), float(image.dataobj.inter), slab_axis=2)


def _unpacked(image: Any) -> NDArray[Any]:
    """The stored voxels of a .nii.gz: read in small parts, because nibabel holds a large file twice while it reads."""
    shape = volume_shape(image)
    stored: NDArray[Any] = np.empty(shape, image.dataobj.dtype, order="F")
    rest = stored.reshape(-1, order="F").view(np.uint8).data
    with gzip.open(image.file_map["image"].filename, "rb") as file:
        file.seek(image.dataobj.offset)
        while rest:
            count = file.readinto(rest[:PART_BYTES])
            if not count:
                raise EOFError
            rest = rest[count:]
    return stored


def write_nifti(path: Path, masks: MaskSet) -> None:
    """Write masks as a label volume on the source's voxels.

    From a NIfTI source come shape, affine, qform, sform and units; from another volume its voxel order and affine, in
    single precision, which is what NIfTI holds. Slices without masks are 0; of objects that overlap the higher id is
    stored.

    Raises:
        ValueError: the source does not say where its voxels lie.
    """
    volume = label_volume(masks)
    if isinstance(masks.on, NiftiSource):
        header = masks.on.image.header.copy()
        header.set_data_dtype(volume.dtype)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        # Without an affine of its own the image keeps both of the header's, and their codes.
        image = type(masks.on.image)(volume, None, header)
    else:
        affine = grid_of(masks.on).affine
        image = nib.Nifti1Image(volume, affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code="scanner")
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        if np.allclose(axes.T @ axes, np.eye(3), atol=1e-6):  # a qform cannot be sheared
            image.set_qform(affine, code="scanner")
    with whole_file(path) as temporary:
        nib.save(image, temporary)


def read_nifti_masks(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks of a label volume, slice by slice in the order in which `NiftiSource` shows them.

    Every object of the volume is in every frame, with an empty mask where it is absent.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or not a volume of whole numbers.
    """
    return volume_mask_set(NiftiSource(path, options.plane))
