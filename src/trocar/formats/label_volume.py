"""Masks as one volume of labels on the source's own voxels, and that volume as NRRD and MetaImage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.formats.mask_set import Canvas, MaskSet, ObjectInfo, volume_mask_set
from trocar.formats.volume import LPS_TO_RAS, Grid, VolumeSource
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource
from trocar.masks import to_label_map

HIGHEST_ID = 65535


def grid_of(source: FrameSource) -> Grid:
    """The voxel grid of a source.

    Raises:
        ValueError: it is not a volume, or does not say where in the patient it lies.
    """
    if not isinstance(source, VolumeSource | Canvas) or source.grid.known != "affine":
        raise ValueError(
            f"a label volume needs a source that says where in the patient it lies, which {source.name} does not: "
            "give the volume the masks were made on, or write another format"
        )
    return source.grid


def label_volume(masks: MaskSet) -> NDArray[Any]:
    """All masks as (i, j, k) labels in the voxel order of their source, uint8 or, for ids above 255, uint16.

    Voxels of frames without masks are 0. Where objects overlap the higher id is stored.

    Raises:
        ValueError: see `grid_of`; or an id above 65535.
    """
    source = masks.on
    grid_of(source)
    assert isinstance(source, VolumeSource | Canvas)
    labels = np.zeros((len(source), *source.geometry.size), np.uint8)
    for one in masks:
        label_map = to_label_map(one, source.geometry.size, HIGHEST_ID)
        if labels.dtype == np.uint8 and max(one.masks, default=0) > 255:
            labels = labels.astype(np.uint16)
        labels[one.frame] = label_map
    return source.to_voxels(labels)


def write_nrrd(path: Path, masks: MaskSet) -> None:
    """Write a NRRD label volume on the source's grid; names of objects are kept as 3D Slicer keeps segments'.

    Raises:
        ValueError: see `label_volume`.
    """
    named = {}
    for number, (object_id, info) in enumerate(sorted(masks.objects.items())):
        named[f"Segment{number}_ID"] = f"Segment_{object_id}"
        named[f"Segment{number}_Name"] = info.name
        named[f"Segment{number}_LabelValue"] = str(object_id)
        named[f"Segment{number}_Layer"] = "0"
    _write_itk(path, masks, named)


def write_metaimage(path: Path, masks: MaskSet) -> None:
    """Write a MetaImage label volume (.mha) on the source's grid.

    Raises:
        ValueError: see `label_volume`.
    """
    _write_itk(path, masks, {})


def _write_itk(path: Path, masks: MaskSet, fields: dict[str, str]) -> None:
    import SimpleITK as sitk

    volume = label_volume(masks)
    grid = grid_of(masks.on)
    volume = volume.reshape((*volume.shape, 1)[:3])  # a NIfTI source may have fewer axes or more
    affine = LPS_TO_RAS @ grid.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.transpose()))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    for name, value in fields.items():
        image.SetMetaData(name, value)
    with whole_file(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            raise OSError(f"{path} could not be written: {' '.join(str(error).split())}") from error


def read_itk_labels(source: VolumeSource, path: Path) -> MaskSet:
    """The masks of a NRRD or MetaImage volume that is open already, with the names that `write_nrrd` gives objects."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    objects = {}
    for key in reader.GetMetaDataKeys():
        value, layer = key.removesuffix("_Name") + "_LabelValue", key.removesuffix("_Name") + "_Layer"
        if key.startswith("Segment") and key.endswith("_Name") and reader.HasMetaDataKey(value):
            if reader.HasMetaDataKey(layer) and reader.GetMetaData(layer) != "0":
                continue
            objects[int(reader.GetMetaData(value))] = ObjectInfo(reader.GetMetaData(key))
    return volume_mask_set(source, objects)
