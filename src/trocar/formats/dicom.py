"""DICOM: a series of CT, MR or PET as a volume, endoscopy and ultrasound as a video."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.formats.dicom_geometry import Slice, arrange, has_places, slices_of
from trocar.formats.dicom_headers import Series, choose_series
from trocar.formats.dicom_pixels import check_pixels, is_grey, read_picture, read_pixels
from trocar.formats.intensity import Values, choose_window, describe, picture_preparation
from trocar.formats.options import DEFAULTS, OpenOptions
from trocar.formats.volume import VolumeSource, rescaled
from trocar.formats.window import Window
from trocar.frames import Frame, FrameSource
from trocar.geometry import Geometry

VOLUME_MODALITIES = ("CT", "MR", "PT", "NM")
"""Whose single pictures are nothing without their places."""


def open_dicom(path: str | Path, options: OpenOptions = DEFAULTS) -> FrameSource:
    """Open a folder of DICOM files, or one file, as a volume or as a video.

    Args:
        path: the folder, or a file alone.
        options: `series` where there are several; `plane`, `window` and `uneven` for volumes, `window` for videos.

    Raises:
        FileNotFoundError, ValueError: missing, not DICOM, several series (they are listed), or pictures that cannot be
            shown rightly; the message says why.
    """
    path = Path(path)
    series = choose_series(path, options.series)
    for file, header in series.files:
        check_pixels(file, header)
    placed = [has_places(header) for _, header in series.files]
    if all(placed) and all(is_grey(header) for _, header in series.files):
        return DicomVolume(series, path, options)
    if series.modality in VOLUME_MODALITIES and not any("NumberOfFrames" in header for _, header in series.files):
        lost = next(file for (file, _), known in zip(series.files, placed, strict=True) if not known)
        raise ValueError(f"{lost} does not say where it lies in the patient (no ImagePositionPatient): no volume")
    options.check_only(("window", "series"), path, "DICOM pictures, which are no volume")
    return DicomVideo(series, path, options)


class DicomVolume(VolumeSource):
    """The slices of a DICOM series, sorted along their normal; the voxel order is ITK's (column, row, slice).

    Args:
        series: its files.
        path: what was opened, for messages.
        options: see `open_dicom`.

    Raises:
        ValueError: the slices do not make one regular grid, or there is nowhere said where they lie.
    """

    def __init__(self, series: Series, path: Path, options: OpenOptions = DEFAULTS) -> None:
        slices = [one for file, header in series.files for one in slices_of(file, header)]
        self.series = series
        self.slices, grid = arrange(slices, options.uneven)
        inverted = _inverted(series)
        values = Values(series.modality, inverted=inverted)
        super().__init__(str(path), _SliceVoxels(self.slices), grid, options.plane, options.window, values)


class DicomVideo:
    """Frames of DICOM files that have no place in the patient: endoscopy, ultrasound, angiography, photographs.

    One multi-frame file is a video with its own frame rate; single pictures follow one another by their number.

    Args:
        series: its files.
        path: what was opened, for messages.
        options: see `open_dicom`.

    Raises:
        ValueError: several multi-frame files, or pictures that differ in size.
    """

    def __init__(self, series: Series, path: Path, options: OpenOptions = DEFAULTS) -> None:
        self.name = str(path)
        self.series = series
        files = sorted(series.files, key=lambda one: (int(one[1].get("InstanceNumber") or 0), one[0].name))
        clips = [file.name for file, header in files if int(header.get("NumberOfFrames") or 1) > 1]
        if len(files) > 1 and clips:
            raise ValueError(f"{path} holds several videos in one series: name the file of one ({', '.join(clips)})")
        sizes = {(int(header.Rows), int(header.Columns)): file.name for file, header in files}
        if len(sizes) > 1:
            said = ", ".join(f"{name} is {columns}x{rows}" for (rows, columns), name in sizes.items())
            raise ValueError(f"the pictures of {path} differ in size: {said}; put those of one size into a folder")
        header = files[0][1]
        if str(header.get("DimensionOrganizationType", "")).startswith("TILED"):
            raise ValueError(f"{path} is a whole slide cut into tiles, not a video: export the region wanted as TIFF")
        self._frames = [(*one, n) for one in files for n in range(int(one[1].get("NumberOfFrames") or 1))]
        self._wanted = picture_preparation(options.window, self.name)
        self._values = Values(series.modality, int(header.get("BitsStored", 8)) == 8, _inverted(series))
        spacing = tuple(float(mm) for mm in header.get("PixelSpacing") or ())
        known = len(spacing) == 2 and all(0 < mm < np.inf for mm in spacing)
        self.geometry = Geometry(next(iter(sizes)), spacing if known else None)
        self._times = _times(header, len(self._frames)) if len(files) == 1 else None
        self.rate_hz: float | None = None
        if self._times is not None and len(self._times) > 1 and self._times[-1] > 0:
            self.rate_hz = (len(self._times) - 1) / self._times[-1]
        names = tuple(file.stem for file, _ in files)
        self.names = names if len(files) > 1 and len(set(names)) == len(names) else ()
        """What each picture is called, for files written about it; empty where frames have numbers only."""

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        pixels = self._pixels(index)
        if pixels.ndim == 2:
            window = self.window or choose_window(self._wanted, lambda: [pixels], self._values)
            grey = window.apply(pixels)
            pixels = np.repeat((255 - grey if self._values.inverted else grey)[..., None], 3, axis=2)
        time = None if self._times is None else self._times[index]
        return Frame(index, np.ascontiguousarray(pixels, np.uint8), time, self._frames[index][0].name)

    @cached_property
    def window(self) -> Window | None:
        """What becomes black and white in all frames; None where each has a window of its own."""
        if self._wanted.scope == "frame":
            return None
        if self._values.grey_levels and self._wanted.window == "auto" and not self._wanted.zscore:
            return Window(0.0, 255.0)
        return choose_window(self._wanted, lambda: map(self._pixels, range(len(self))), self._values)

    @property
    def preparation(self) -> dict[str, Any]:
        """What is done to the values of grey frames, for the record of a run."""
        return describe(self._wanted, self._values, self.window)

    def _pixels(self, index: int) -> NDArray[Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {len(self) - 1}")
        path, header, frame = self._frames[index]
        pixels = read_picture(path, header, frame)
        if pixels.ndim == 3:
            return pixels
        return rescaled(pixels, float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0)))


class _SliceVoxels:
    """Voxels (column, row, slice) of slices that are decoded one by one."""

    slab_axis = 2

    def __init__(self, slices: list[Slice]) -> None:
        self._slices = slices
        rows, columns = slices[0].size
        self.shape: tuple[int, int, int] = (columns, rows, len(slices))

    def slab(self, axis: int, index: int) -> NDArray[Any]:
        """The measured values at `index` of `axis`; across slices all of them are decoded once, then kept."""
        if axis == 2:
            one = self._slices[index]
            return rescaled(read_pixels(one.path, one.frame), *one.scale).T
        stored = self._stored.take(index, axis)
        scales = {one.scale for one in self._slices}
        if len(scales) == 1:
            return rescaled(stored, *scales.pop())
        slopes, intercepts = np.array([one.scale for one in self._slices]).T
        return np.asarray(stored * slopes + intercepts, np.float32)

    @cached_property
    def _stored(self) -> NDArray[Any]:
        whole = np.empty(self.shape, read_pixels(self._slices[0].path, self._slices[0].frame).dtype)
        for index, one in enumerate(self._slices):
            whole[..., index] = read_pixels(one.path, one.frame).T
        return whole


def _inverted(series: Series) -> bool:
    kinds = {str(header.PhotometricInterpretation) for _, header in series.files}
    if len(kinds) > 1:
        raise ValueError(f"the pictures of series {series.uid} differ in their photometric interpretation: {kinds}")
    return kinds == {"MONOCHROME1"}


def _times(header: Any, frames: int) -> list[float] | None:
    """When each frame is shown, in seconds; None where the file does not say."""
    steps = header.get("FrameTimeVector")
    if steps and len(steps) == frames:
        return [float(t) / 1000 for t in np.cumsum([float(step) for step in steps])]
    interval = float(header.get("FrameTime") or 0) / 1000
    rate = float(header.get("CineRate") or header.get("RecommendedDisplayFrameRate") or 0)
    interval = interval or (1 / rate if rate > 0 else 0.0)
    return [frame * interval for frame in range(frames)] if interval > 0 else None
