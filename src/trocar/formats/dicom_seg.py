"""DICOM segmentations read: BINARY, FRACTIONAL by a threshold and LABELMAP, overlapping or not.

Frames lie where the file says, so the source need not be at hand; slices that it leaves out because they are empty are
filled in between the outermost ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from trocar.formats.dicom_geometry import TURN, Slice, has_places, slices_of
from trocar.formats.dicom_headers import list_series
from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ObjectInfo, ReadOptions, Term
from trocar.formats.volume import LPS_TO_RAS, Grid, VolumeSource
from trocar.frames import FrameSource
from trocar.geometry import Geometry
from trocar.masks import FrameMasks

TRACKING = "trocar object "
"""What the TrackingID of our segments begins with: the object's id follows, which need not be the segment's number."""

OFF_PLACE_MM = 0.01
OFF_PLACE_SHARE = 0.05
"""A frame may lie off its place by so much, or by this part of the spacing: positions are written with few digits."""


def read_dicom_seg(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks of a segmentation object: segments are objects, and lie on the grid that their frames make.

    Args:
        path: the file, or a folder with one segmentation in it.
        options: `plane`, and `threshold` for fractional ones.

    Raises:
        FileNotFoundError, ValueError: missing, cut short, not a segmentation, of a whole slide in tiles, fractional
            without a threshold, or frames that do not make one grid.
    """
    file = _file(path)
    segmentation = _Segmentation(file, options.threshold)
    header = segmentation.header
    series = frozenset(str(item.SeriesInstanceUID) for item in header.get("ReferencedSeriesSequence") or ())
    on: FrameSource
    if has_places(header):
        slices = list(slices_of(file, header))
        order, grid = _arrange(slices, segmentation.spacing_mm)
        # A volume a segment, as segments may overlap; in a label map they are values of one volume.
        wanted = [0] if segmentation.kind == "LABELMAP" else sorted(segmentation.numbers.values())
        volumes = {
            number: VolumeSource(str(path), _Voxels(segmentation, number, order), grid, options.plane)
            for number in wanted
        }
        on = volumes[wanted[0]]

        def frames() -> Iterator[FrameMasks]:
            for index in range(len(on)):
                values = {number: volume.values(index) for number, volume in volumes.items()}
                found = {i: values[0] == n if 0 in values else values[n] for i, n in segmentation.numbers.items()}
                yield FrameMasks(index, found)

    else:
        numbers = _picture_numbers(header, path)
        on = Canvas(str(path), Geometry((int(header.Rows), int(header.Columns))), max(numbers) + 1)

        def frames() -> Iterator[FrameMasks]:
            for index in range(len(on)):
                here = [frame for frame, number in enumerate(numbers) if number == index]
                found = {i: segmentation.mask(here, number) for i, number in segmentation.numbers.items()}
                yield FrameMasks(index, found)

    return MaskSet(on, frames, segmentation.objects, series=series)


def _file(path: Path) -> Path:
    found = [file for series in list_series(path) for file, header in series.files if header.get("Modality") == "SEG"]
    if len(found) != 1:
        kinds = "no DICOM segmentation" if not found else f"{len(found)} DICOM segmentations"
        raise ValueError(f"{path} holds {kinds}: name the file of one")
    return found[0]


class _Segmentation:
    """The frames and segments of a file.

    Args:
        path: the file.
        threshold: the least value, as a part of the largest, that is inside a fractional segment.
    """

    def __init__(self, path: Path, threshold: float | None) -> None:
        self.path = path
        try:
            self.header: Any = pydicom.dcmread(path)
            self.kind = str(self.header.SegmentationType)
            self._check(self.header)
        except (AttributeError, KeyError, OSError, EOFError) as error:
            raise ValueError(
                f"{path} is cut short or damaged, it cannot be read as a segmentation ({error})"
            ) from error
        self.size = (int(self.header.Rows), int(self.header.Columns))
        items = [item for item in self.header.SegmentSequence if not self._is_background(int(item.SegmentNumber))]
        ids = _object_ids(items)
        self.numbers = {object_id: int(item.SegmentNumber) for object_id, item in zip(ids, items, strict=True)}
        self.objects = {object_id: _info(item) for object_id, item in zip(ids, items, strict=True)}
        if not items:
            raise ValueError(f"{path} describes no segments: there is nothing to read")
        self._least = self._smallest_inside(threshold)

    def _check(self, header: Any) -> None:
        organised = str(header.get("DimensionOrganizationType", ""))
        if organised.startswith("TILED") or "TotalPixelMatrixColumns" in header:
            raise ValueError(
                f"{self.path} segments a whole slide cut into tiles, not slices: export the region wanted as pictures"
            )
        if self.kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
            raise ValueError(f"{self.path} has the segmentation type {self.kind}, which is not known")
        if "PerFrameFunctionalGroupsSequence" not in header:
            raise ValueError(f"{self.path} does not say what its frames are: it cannot be read")
        count = int(header.get("NumberOfFrames") or 1)
        needed = (count * int(header.Rows) * int(header.Columns) * int(header.BitsAllocated) + 7) // 8
        if len(header.PerFrameFunctionalGroupsSequence) != count:
            raise ValueError(f"{self.path} describes another number of frames than it says it has: it is damaged")
        if not header.file_meta.TransferSyntaxUID.is_encapsulated and len(header.get("PixelData", b"")) < needed:
            raise ValueError(f"{self.path} is cut short: copy it again from where it came from")

    def _is_background(self, number: int) -> bool:
        return self.kind == "LABELMAP" and number == int(self.header.get("PixelPaddingValue", 0))

    def _smallest_inside(self, threshold: float | None) -> float:
        if self.kind != "FRACTIONAL":
            return 1
        largest = int(self.header.MaximumFractionalValue)
        if threshold is not None:
            return threshold * largest
        if all(np.isin(self._values(frame), (0, largest)).all() for frame in range(len(self.frames))):
            return largest
        raise ValueError(
            f"{self.path} is fractional ({self.header.get('SegmentationFractionalType', '')}): say with a threshold, "
            "such as 0.5, what counts as the object"
        )

    @property
    def spacing_mm(self) -> float | None:
        """How far slices are apart, where the file says so; their thickness need not be that."""
        shared = (self.header.get("SharedFunctionalGroupsSequence") or [{}])[0]
        for holder in (shared, self.frames[0]):
            for measures in holder.get("PixelMeasuresSequence") or ():
                if measures.get("SpacingBetweenSlices"):
                    return abs(float(measures.SpacingBetweenSlices))
        return None

    @property
    def frames(self) -> Any:
        """What is said about each frame."""
        return self.header.PerFrameFunctionalGroupsSequence

    @cached_property
    def frames_of(self) -> list[int]:
        """The number of each frame's segment; 0 for frames of all segments."""
        if self.kind == "LABELMAP":
            return [0] * len(self.frames)
        shared = (self.header.get("SharedFunctionalGroupsSequence") or [{}])[0]
        numbers = []
        for frame in self.frames:
            holder = frame if "SegmentIdentificationSequence" in frame else shared
            numbers.append(int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber))
        return numbers

    def labels(self, frames: list[int]) -> NDArray[Any]:
        """The segments' numbers in a place, of a label map."""
        return self._values(frames[0]) if frames else np.zeros(self.size, np.uint8)

    def mask(self, frames: list[int], number: int) -> NDArray[np.bool_]:
        """The pixels of a segment in all of the frames given, which lie in one place."""
        mask = np.zeros(self.size, np.bool_)
        for frame in frames:
            if self.kind == "LABELMAP":
                mask |= self._values(frame) == number
            elif self.frames_of[frame] == number:
                mask |= self._values(frame) >= self._least
        return mask

    def _values(self, frame: int) -> NDArray[Any]:
        from pydicom.pixels.utils import pixel_array

        if int(self.header.BitsAllocated) == 1 and not self.header.file_meta.TransferSyntaxUID.is_encapsulated:
            # Bits follow one another without regard to frames, the lowest of a byte first.
            pixels = self.size[0] * self.size[1]
            start, end = frame * pixels, (frame + 1) * pixels
            part = np.frombuffer(self.header.PixelData, np.uint8)[start // 8 : (end + 7) // 8]
            bits = np.unpackbits(part, bitorder="little")
            return bits[start % 8 : start % 8 + pixels].reshape(self.size)
        try:
            values: NDArray[Any] = pixel_array(self.header, index=frame)
        except (AttributeError, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"frame {frame} of {self.path} cannot be decoded ({reason})") from error
        return values


def _object_ids(items: list[Any]) -> list[int]:
    said = [str(item.get("TrackingID") or "") for item in items]
    if items and all(text.startswith(TRACKING) and text.removeprefix(TRACKING).isdecimal() for text in said):
        return [int(text.removeprefix(TRACKING)) for text in said]
    return [int(item.SegmentNumber) for item in items]


def _info(item: Any) -> ObjectInfo:
    found = []
    for name in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
        for code in item.get(name) or ():
            value = code.get("CodeValue") or code.get("LongCodeValue") or code.get("URNCodeValue") or ""
            found.append(Term(str(value), str(code.get("CodingSchemeDesignator", "")), str(code.CodeMeaning)))
    label = str(item.get("SegmentLabel") or "")
    number = str(item.get("TrackingID") or "").removeprefix(TRACKING)
    return ObjectInfo("" if label == f"object {number}" else label, (found[0], found[1]) if len(found) == 2 else None)


class _Voxels:
    """Voxels (column, row, slice) of one segment, decoded slice by slice.

    Args:
        segmentation: the file.
        number: the segment's number; 0 for all segments of a label map.
        order: for each slice its frames, of all segments.
    """

    slab_axis = 2

    def __init__(self, segmentation: _Segmentation, number: int, order: list[list[int]]) -> None:
        self._segmentation, self._number, self._order = segmentation, number, order
        rows, columns = segmentation.size
        self.shape: tuple[int, int, int] = (columns, rows, len(order))

    def slab(self, axis: int, index: int) -> NDArray[Any]:
        """What is at `index` of `axis`; across slices the whole segment is decoded once, then kept."""
        if axis == 2:
            frames = self._order[index]
            if self._number == 0:
                return self._segmentation.labels(frames).T
            return self._segmentation.mask(frames, self._number).T
        across: NDArray[Any] = self._whole.take(index, axis)
        return across

    @cached_property
    def _whole(self) -> NDArray[Any]:
        return np.stack([self.slab(2, index) for index in range(self.shape[2])], axis=2)


def _arrange(slices: list[Slice], spacing_mm: float | None) -> tuple[list[list[int]], Grid]:
    """The frames of each slice, and the grid (column, row, slice), in which empty slices are filled in."""
    first = slices[0]
    for other in slices[1:]:
        if not np.allclose(other.orientation, first.orientation, atol=TURN) or not np.allclose(
            other.spacing, first.spacing, rtol=1e-3, atol=0
        ):
            raise ValueError(f"the frames of {first.path} differ in orientation or pixel spacing: they make no volume")
    normal = np.cross(*first.orientation)
    places = np.array([one.position for one in slices])
    heights = places @ normal
    low, high = int(heights.argmin()), int(heights.argmax())
    gaps = np.diff(np.sort(heights))
    gaps = gaps[gaps > OFF_PLACE_MM]
    if gaps.size:
        usual = float(gaps.min())
        if spacing_mm and abs(round(usual / spacing_mm) * spacing_mm - usual) <= OFF_PLACE_SHARE * spacing_mm:
            usual = spacing_mm  # where every other slice is empty, gaps are wider than the spacing
        count = round(float(heights[high] - heights[low]) / usual)
        step = (places[high] - places[low]) / count
    else:
        count, step = 0, normal * (spacing_mm or first.thickness)
    index = np.rint((heights - heights[low]) / (step @ normal)).astype(int)
    off = np.linalg.norm(places - (places[low] + index[:, None] * step), axis=1)
    if off.max() > max(OFF_PLACE_MM, OFF_PLACE_SHARE * float(np.linalg.norm(step))):
        raise ValueError(f"{slices[int(off.argmax())]} is {off.max():.3g} mm off its place: slices are unevenly spaced")
    order: list[list[int]] = [[] for _ in range(count + 1)]
    for frame, place in enumerate(index):
        order[place].append(frame)
    affine = np.eye(4)
    row, column = first.orientation
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * first.spacing[1], column * first.spacing[0], step
    affine[:3, 3] = places[low]
    return order, Grid(LPS_TO_RAS @ affine)


def _picture_numbers(header: Any, path: Path) -> list[int]:
    """For frames without a place: which picture each is of, by what they say they were made from."""
    made_from = []
    for frame in header.PerFrameFunctionalGroupsSequence:
        try:
            source = frame.DerivationImageSequence[0].SourceImageSequence[0]
            made_from.append((str(source.ReferencedSOPInstanceUID), int(source.get("ReferencedFrameNumber") or 1)))
        except (AttributeError, IndexError) as error:
            raise ValueError(f"{path} does not say where its frames lie or what pictures they are of") from error
    if len({uid for uid, _ in made_from}) == 1:  # frames of a video have numbers of their own
        return [number - 1 for _, number in made_from]
    pictures = {key: index for index, key in enumerate(dict.fromkeys(made_from))}
    return [pictures[key] for key in made_from]
