"""DICOM segmentations written with highdicom, on a series that our reader has opened and with references to it."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.formats.colours import colour_of
from trocar.formats.dicom import DicomVolume
from trocar.formats.dicom_seg import TRACKING
from trocar.formats.dicom_terms import terms_of
from trocar.formats.label_volume import HIGHEST_ID, label_volume
from trocar.formats.mask_set import MaskSet, ObjectInfo
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource

TYPE_2 = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
"""What every file must have but may leave empty; anonymised ones often have it not at all."""

REFERRED_TO = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")

LONGEST_NAME = 64
SERIES_NUMBER = 9001


def check_series(source: FrameSource) -> None:
    """Refuse sources that a segmentation cannot refer to.

    Raises:
        ValueError: it is not a DICOM volume on a regular grid, or lacks the identifier of its frame of reference.
    """
    if not isinstance(source, DicomVolume):
        raise ValueError(
            f"a DICOM segmentation refers to a DICOM series of slices, which {source.name} is not: give the series "
            "that the masks were made on as the source, or write nifti or nrrd"
        )
    if source.grid.known != "affine":
        raise ValueError(f"the slices of {source.name} are unevenly spaced: no segmentation can be written on them")
    files = {one.path for one in source.slices}
    if len(files) > 1 and len(files) < len(source.slices):
        raise ValueError(f"{source.name} is in several multi-frame files: a segmentation can refer to one only")
    for name in REFERRED_TO:
        lacking = [file for file, header in source.series.files if not header.get(name)]
        if lacking:
            raise ValueError(f"{lacking[0]} has no {name}, so no segmentation can refer to it: write nifti or nrrd")


def write_dicom_seg(path: Path, masks: MaskSet) -> None:
    """Write a BINARY segmentation: a segment an object, which may overlap; slices without the object are left out.

    Segments are numbered from 1 as DICOM wants; the object's id is kept in TrackingID.

    Raises:
        ValueError: see `check_series`; no object, or a name that is too long.
    """
    ids, overlap = _content(masks)
    source = masks.on
    assert isinstance(source, DicomVolume)
    numbers = {object_id: number for number, object_id in enumerate(ids, start=1)}
    if not overlap:
        labels = label_volume(masks).transpose(2, 1, 0)
        lookup = np.zeros(int(labels.max()) + 1, np.uint16 if len(ids) > 255 else np.uint8)
        for object_id, number in numbers.items():
            if object_id < lookup.size:
                lookup[object_id] = number
        _write(path, masks, numbers, lookup[labels], "BINARY")
        return
    shape = (len(source), *source.geometry.size)
    pixels: NDArray[Any] = np.zeros((*(source.voxels.shape[axis] for axis in (2, 1, 0)), len(ids)), np.uint8)
    for object_id, number in numbers.items():
        volume = np.zeros(shape, np.uint8)
        for one in masks:
            if object_id in one.masks:
                volume[one.frame] = one.masks[object_id]
        pixels[..., number - 1] = source.to_voxels(volume).transpose(2, 1, 0)
    _write(path, masks, numbers, pixels, "BINARY")


def write_dicom_labelmap(path: Path, masks: MaskSet) -> None:
    """Write a LABELMAP segmentation: all slices, each voxel the id of its object; of two the higher one.

    Raises:
        ValueError: see `check_series`; no object, an id above 65535, or a name that is too long.
    """
    ids, _ = _content(masks)
    labels = label_volume(masks).transpose(2, 1, 0)
    _write(path, masks, {object_id: object_id for object_id in ids}, np.ascontiguousarray(labels), "LABELMAP")


def _content(masks: MaskSet) -> tuple[list[int], bool]:
    """The ids of objects that are somewhere, and whether any two overlap."""
    check_series(masks.on)
    ids: set[int] = set()
    overlap = False
    for one in masks:
        present = {object_id: mask for object_id, mask in one.masks.items() if mask.any()}
        ids.update(present)
        if len(present) > 1 and not overlap:
            overlap = int(np.sum(list(present.values()), axis=0).max()) > 1
    if not ids:
        raise ValueError(f"there is no object in the masks of {masks.on.name}: DICOM has no segmentation without one")
    if min(ids) < 1 or max(ids) > HIGHEST_ID:
        raise ValueError(f"object ids must be 1 to {HIGHEST_ID}, not {min(ids)} to {max(ids)}: renumber the objects")
    return sorted(ids), overlap


def _write(path: Path, masks: MaskSet, numbers: dict[int, int], pixels: NDArray[Any], kind: str) -> None:
    """Write (slices, rows, columns[, segments]) in the order of the source's own slices."""
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless
    from pydicom.valuerep import DSfloat

    from trocar import __version__

    source = masks.on
    assert isinstance(source, DicomVolume)
    headers = {file: _complete(header) for file, header in source.series.files}
    images = [headers[one.path] for one in source.slices]
    first = source.slices[0]
    if len(headers) == 1 and len(source.slices) > 1:  # a multi-frame file counts frames in an order of its own
        images = images[:1]
        pixels = pixels[np.argsort([one.frame for one in source.slices])]
    spacing = float(np.linalg.norm(source.grid.affine[:3, 2]))
    with warnings.catch_warnings():
        # Names of patients are copied as they are, odd ones too.
        warnings.filterwarnings("ignore", message=".*person name", category=UserWarning)
        segmentation = highdicom.seg.Segmentation(
            source_images=images,
            pixel_array=pixels,
            segmentation_type=kind,
            segment_descriptions=[_described(object_id, n, masks) for object_id, n in numbers.items()],
            series_instance_uid=highdicom.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="trocar",
            manufacturer_model_name="trocar",
            software_versions=__version__,
            device_serial_number="0",
            transfer_syntax_uid=RLELossless if kind == "LABELMAP" else ExplicitVRLittleEndian,
            pixel_measures=highdicom.PixelMeasuresSequence(first.spacing.tolist(), first.thickness, spacing),
            omit_empty_frames=kind == "BINARY",
            content_label="SEGMENTATION",
            series_description="trocar masks",
        )
    # highdicom works it out from the slices that it stores, and puts 1 mm where that is a single one.
    measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = DSfloat(spacing, auto_format=True)
    with whole_file(path) as temporary:
        segmentation.save_as(temporary)


def _complete(header: Any) -> Any:
    """A copy of a header in which empty elements stand for missing ones, and the file's own UIDs for blanked ones."""
    copy = deepcopy(header)
    copy.SOPClassUID = header.SOPClassUID or header.file_meta.MediaStorageSOPClassUID
    copy.SOPInstanceUID = header.get("SOPInstanceUID") or header.file_meta.MediaStorageSOPInstanceUID
    for name in TYPE_2:
        if name not in copy:
            setattr(copy, name, None)
    if not copy.get("SpecificCharacterSet"):
        copy.pop("SpecificCharacterSet", None)
    return copy


def _described(object_id: int, number: int, masks: MaskSet) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    from trocar import __version__

    info = masks.objects.get(object_id, ObjectInfo())
    name = info.name or f"object {object_id}"
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name {name!r} has more than the {LONGEST_NAME} characters of a segment's: shorten it")
    category, kind = (highdicom.sr.CodedConcept(one.value, one.scheme, one.meaning) for one in terms_of(info))
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            "trocar", codes.DCM.ArtificialIntelligence, __version__
        ),
        tracking_uid=highdicom.UID(),
        tracking_id=f"{TRACKING}{object_id}",
        display_color=highdicom.color.CIELabColor.from_rgb(*colour_of(object_id)),
    )
