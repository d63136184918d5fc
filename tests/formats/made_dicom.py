"""DICOM files written for tests with pydicom: series of slices, enhanced multi-frame objects, and cine loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)


def header(sop_class: str, modality: str, pixels: np.ndarray, **fields: Any) -> Dataset:
    """A file's data set around (rows, columns[, 3]) or (frames, rows, columns[, 3]) pixels, MONOCHROME2 unless said."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = Dataset()
    one.file_meta = meta
    one.SOPClassUID, one.SOPInstanceUID, one.Modality = sop_class, meta.MediaStorageSOPInstanceUID, modality
    one.StudyInstanceUID, one.PatientID, one.PatientName = "1.2.3", "P", "P"
    one.SeriesInstanceUID, one.SeriesNumber, one.SeriesDescription = "1.2.3.4", 4, "made"
    colour = pixels.shape[-1] == 3
    picture = pixels.shape[:-1] if colour else pixels.shape
    one.Rows, one.Columns = picture[-2:]
    if len(picture) == 3:
        one.NumberOfFrames = picture[0]
    one.SamplesPerPixel = 3 if colour else 1
    one.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        one.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    one.BitsAllocated, one.BitsStored, one.HighBit = bits, bits, bits - 1
    one.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in fields.items():
        setattr(one, name, value)
    one.PixelData = pixels.tobytes()
    one["PixelData"].VR = "OB" if bits == 8 else "OW"
    return one


def save(one: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    volume: np.ndarray,
    orientation: np.ndarray | None = None,
    step: np.ndarray | None = None,
    syntax: str = "",
    **fields: Any,
) -> list[Path]:
    """(slices, rows, columns) as one file a slice, named so that their names tell nothing; slope 1, intercept -1024.

    `orientation` (2, 3) holds the cosines of rows and columns, `step` the way from one slice to the next in mm (LPS).
    """
    cosines = np.eye(3)[:2] if orientation is None else orientation
    way = np.cross(*cosines) * 2.5 if step is None else step
    paths = []
    for number, pixels in enumerate(volume):
        place = np.array([-10.5, 20.25, 30.125]) + number * way
        said = {
            "ImagePositionPatient": [f"{x:.9f}"[:16] for x in place],
            "ImageOrientationPatient": [f"{x:.12f}"[:16] for x in cosines.ravel()],
            "PixelSpacing": [0.7, 0.5],
            "SliceThickness": 2.5,
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "InstanceNumber": len(volume) - number,
        }
        one = header(CTImageStorage, "CT", pixels, **(said | fields))
        if syntax:
            one.compress(syntax, generate_instance_uid=False)
        paths.append(save(one, folder / f"im{number * 7 % len(volume):03d}_{number}.dcm"))
    return paths


def enhanced(volume: np.ndarray, places: list[float]) -> Dataset:
    """An enhanced CT object: axial frames at these z (mm), 0.7 x 0.5 mm pixels, slope 2, intercept -1000."""
    one = header(EnhancedCTImageStorage, "CT", volume)
    shared, measures, turn, scale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.7, 0.5], 3
    turn.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 2, -1000, "HU"
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([turn])
    shared.PixelValueTransformationSequence = Sequence([scale])
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for z in places:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [-10, 20, z]
        frame.PlanePositionSequence = Sequence([place])
        frames.append(frame)
    one.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return one


def cine(pixels: np.ndarray, **fields: Any) -> Dataset:
    """An ultrasound loop of (frames, rows, columns[, 3]), 25 pictures a second unless said."""
    return header(UltrasoundMultiFrameImageStorage, "US", pixels, **({"FrameTime": 40} | fields))
