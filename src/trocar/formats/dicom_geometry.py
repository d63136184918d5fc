"""Where the slices of a DICOM series lie: sorted along their normal and checked to make one regular grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.formats.volume import LPS_TO_RAS, Grid

PLACE_MM = 0.01
PLACE_SHARE = 0.01
"""A slice may lie off its place by so much, or by this part of the spacing: positions are written with few digits."""

TURN = 1e-3
"""How far orientations may differ, as direction cosines."""


@dataclass(frozen=True)
class Slice:
    """One slice as its header describes it.

    Args:
        path: its file.
        uid: SOPInstanceUID of the file.
        frame: its number in the file, from 0.
        position: ImagePositionPatient: the centre of the first pixel, in mm (LPS).
        orientation: direction cosines of rows and columns, (2, 3), in LPS.
        spacing: mm between (rows, columns).
        size: (rows, columns).
        scale: (rescale slope, intercept).
        thickness: mm to the next slice where there is none.
    """

    path: Path
    uid: str
    frame: int
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]
    size: tuple[int, int]
    scale: tuple[float, float]
    thickness: float

    def __str__(self) -> str:
        x, y, z = self.position
        frame = f" frame {self.frame}" if self.frame else ""
        return f"{self.path.name}{frame} at ({x:g}, {y:g}, {z:g}) mm"


def has_places(header: Any) -> bool:
    """Whether the pictures of a file say where in the patient they lie."""
    if "PerFrameFunctionalGroupsSequence" in header:
        return _group(header, 0, "PlanePositionSequence") is not None
    return "ImagePositionPatient" in header and int(header.get("NumberOfFrames") or 1) == 1


def slices_of(path: Path, header: Any) -> Iterator[Slice]:
    """The slices of one file.

    Raises:
        ValueError: a slice does not say where it lies, or says what cannot be.
    """
    frames = int(header.get("NumberOfFrames") or 1)
    if frames == 1 and "PerFrameFunctionalGroupsSequence" not in header:
        yield _slice(path, header, 0, (header,) * 4)
        return
    for frame in range(frames):
        names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        groups = tuple(_group(header, frame, name) for name in names)
        if None in groups:
            raise ValueError(f"{path} does not say where its frame {frame} lies: it cannot be read as a volume")
        scale = _group(header, frame, "PixelValueTransformationSequence")
        yield _slice(path, header, frame, (*groups, {} if scale is None else scale))


def arrange(slices: list[Slice], uneven: str = "refuse") -> tuple[list[Slice], Grid]:
    """Sort slices along their normal and find the grid of voxels (column, row, slice) that they make.

    Args:
        slices: at least one.
        uneven: "keep" takes slices that do not make a regular grid as they are; the grid is then not known.

    Raises:
        ValueError: sizes, orientations or pixel spacings differ, or the slices do not make a regular grid; it says
            where.
    """
    first = slices[0]
    for other in slices[1:]:
        for what, differ in (
            (f"size {other.size} and {first.size}", other.size != first.size),
            ("orientation", not np.allclose(other.orientation, first.orientation, atol=TURN)),
            ("pixel spacing", not np.allclose(other.spacing, first.spacing, rtol=1e-3, atol=0)),
        ):
            if differ:
                raise ValueError(
                    f"{first} and {other} in {first.path.parent} are in one series but differ in {what}: "
                    "put those that belong together into a folder of their own"
                )
    normal = np.cross(*first.orientation)
    ordered = sorted(slices, key=lambda one: float(one.position @ normal))
    fault = _fault(ordered, normal)
    if fault and uneven == "refuse":
        raise ValueError(f"{fault}, or take the slices as they are, without a geometry, with uneven='keep'")
    if len(ordered) > 1 and not fault:
        step = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
    else:
        step = normal * first.thickness
    return ordered, Grid(_affine(ordered[0], step), "nothing" if fault else "affine")


def _affine(first: Slice, step: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    row, column = first.orientation
    # The first cosines run along a row, that is from column to column.
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * first.spacing[1], column * first.spacing[0], step
    affine[:3, 3] = first.position
    return LPS_TO_RAS @ affine


def _fault(ordered: list[Slice], normal: NDArray[np.float64]) -> str:
    """What keeps sorted slices from being a regular grid, and what to do about it; "" if nothing does."""
    if len(ordered) < 2:
        return ""
    folder = ordered[0].path.parent
    places = np.array([one.position for one in ordered])
    gaps = np.diff(places @ normal)
    usual = float(np.median(gaps))
    close = int(gaps.argmin())
    if gaps[close] < PLACE_MM / 10:
        return (
            f"{ordered[close]} and {ordered[close + 1]} in {folder} lie in the same place: keep the files of one "
            "volume (one time, one echo), each once"
        )
    tolerance = max(PLACE_MM, PLACE_SHARE * usual)
    widest = int(gaps.argmax())
    missing = round(gaps[widest] / usual) - 1
    if missing >= 1 and abs(gaps[widest] - (missing + 1) * usual) <= tolerance * (missing + 1):
        return (
            f"{missing} slice{'s are' if missing > 1 else ' is'} missing in {folder} between {ordered[widest]} and "
            f"{ordered[widest + 1]} ({gaps[widest]:g} mm apart, {usual:g} is usual): get the missing files"
        )
    line = places[0] + np.linspace(0, 1, len(places))[:, None] * (places[-1] - places[0])
    off = np.linalg.norm(places - line, axis=1)
    if off.max() <= tolerance:
        return ""
    return (
        f"the slices in {folder} are unevenly spaced, {gaps.min():g} to {gaps.max():g} mm apart: "
        f"{ordered[int(off.argmax())]} is {off.max():.3g} mm off its place; resample them to an even spacing"
    )


def _group(header: Any, frame: int, name: str) -> Any:
    """An item of an enhanced object's functional groups, a frame's own or the one all share; None if there is none."""
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    for holder in (header.PerFrameFunctionalGroupsSequence[frame], shared[0]):
        if name in holder and len(holder[name].value):
            return holder[name].value[0]
    return None


def _slice(path: Path, header: Any, frame: int, groups: tuple[Any, ...]) -> Slice:
    """A slice from the parts of the header that tell its position, orientation, spacing and rescaling."""
    place, turn, measures, scale = groups
    position = _numbers(place, "ImagePositionPatient", 3, path)
    orientation = _numbers(turn, "ImageOrientationPatient", 6, path).reshape(2, 3)
    spacing = _numbers(measures, "PixelSpacing", 2, path)
    if not (spacing > 0).all():
        raise ValueError(f"{path} has a pixel spacing of {spacing[0]:g} x {spacing[1]:g} mm: mend its header first")
    if not np.allclose(orientation @ orientation.T, np.eye(2), atol=TURN):
        raise ValueError(f"{path} has rows and columns that are not perpendicular unit vectors: mend its header first")
    thickness = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1.0
    slope = float(scale.get("RescaleSlope", 1) or 1)
    intercept = float(scale.get("RescaleIntercept", 0) or 0)
    if not np.isfinite([slope, intercept]).all():
        raise ValueError(f"{path} has a rescale slope or intercept that is not a number: mend its header first")
    size = (int(header.Rows), int(header.Columns))
    uid = str(header.get("SOPInstanceUID", ""))
    return Slice(
        path, uid, frame, position, orientation, spacing, size, (slope, intercept), abs(float(thickness)) or 1.0
    )


def _numbers(holder: Any, name: str, count: int, path: Path) -> NDArray[np.float64]:
    try:
        values = np.array([float(value) for value in holder.get(name) or ()])
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.shape != (count,) or not np.isfinite(values).all():
        said = "is missing" if values.size == 0 else f"is {holder.get(name)}, not {count} numbers"
        raise ValueError(f"{path} cannot be placed in the patient, its {name} {said}: mend its header first")
    return values
