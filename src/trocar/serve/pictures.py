"""Frames, slices and volumes as people see them: read apart from the model, so that looking never waits for it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import cv2
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from trocar.formats.intensity import WindowChoice
from trocar.formats.nifti import NiftiSource
from trocar.formats.video import VideoSource
from trocar.formats.volume import VolumeSource
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource
from trocar.serve.errors import Refusal
from trocar.serve.opening import Opener
from trocar.serve.proxy import PROXY_WIDTH
from trocar.wire import Grey, NewSource, SourceMessage, to_json

PictureFormat = Literal["jpeg", "png", "npy"]

OPEN = 6
"""Sources kept open for looking at."""


class Pictures:
    """What clients look at.

    Args:
        opener: opens sources.
        folder: where proxies and converted volumes are kept.
    """

    def __init__(self, opener: Opener, folder: Path) -> None:
        self._opener = opener
        self._folder = folder
        self._open: OrderedDict[str, tuple[threading.Lock, FrameSource]] = OrderedDict()
        self._opening = threading.Lock()
        self._building: dict[int, subprocess.Popen[bytes]] = {}

    def frame(self, told: SourceMessage, asked: NewSource, frame: int, width: int | None) -> NDArray[np.uint8]:
        """(rows, columns, 3) RGB of a frame, scaled down to `width` columns if that is less than it has.

        Raises:
            Refusal: there is no such frame.
        """
        if not 0 <= frame < told.frames:
            raise Refusal("missing", f"{told.name} has frames 0 to {told.frames - 1}: ask for one of them")
        columns = (told.sizes[frame] if told.sizes else told.size)[1]
        small = width is not None and width < columns
        if small and width is not None and width <= PROXY_WIDTH:
            self._build_proxy(told, asked)
            with suppress(ValueError, IndexError), self._proxied(told) as proxy:
                return scaled(proxy[frame].image, width)
        with self._source(told, asked) as source:
            image = source[frame].image
        return scaled(image, width) if small and width is not None else image

    def slice(self, told: SourceMessage, asked: NewSource, plane: str, index: int, window: str) -> NDArray[np.uint8]:
        """(rows, columns, 3) RGB of a slice of a volume in any plane.

        Raises:
            Refusal: no volume, or no such slice.
            ValueError: an unknown plane or window.
        """
        with self._volume(told, asked, plane, parse_window(window)) as source:
            _check_slice(told, plane, index, len(source))
            return source[index].image

    def values(self, told: SourceMessage, asked: NewSource, plane: str, index: int) -> NDArray[np.generic]:
        """(rows, columns) int16 or float32 measured values of a slice in any plane, or (rows, columns, RGB) uint8.

        Raises:
            Refusal: no volume, or no such slice.
        """
        with self._volume(told, asked, plane) as source:
            _check_slice(told, plane, index, len(source))
            values = source.values(index)
        if values.ndim == 3:
            return np.ascontiguousarray(values, np.uint8)
        short = values.dtype.kind in "biu" and int(values.min()) >= -(2**15) and int(values.max()) < 2**15
        return np.ascontiguousarray(values, np.int16 if short else np.float32)

    def grey(self, told: SourceMessage, asked: NewSource) -> Grey:
        """Which values a volume's slices show as black and white; those of the middle slice where each has its own.

        Raises:
            Refusal: no volume.
        """
        with self._volume(told, asked) as source:
            window, inverted = source.window, bool(source.preparation.get("inverted", False))
            if window is None:
                values = np.nan_to_num(np.asarray(source.values(len(source) // 2), np.float64))
                return Grey(float(values.min()), float(values.max()), inverted)
        return Grey(float(window.low), float(window.high), inverted)

    def volume(self, told: SourceMessage, asked: NewSource) -> Path:
        """The volume as a NIfTI file: the source itself if it is one, else a copy of its values.

        Raises:
            Refusal: no volume.
        """
        path = self._folder / str(told.id) / "volume.nii.gz"
        with self._volume(told, asked) as source:
            if isinstance(source, NiftiSource):
                return self._opener.locate(asked)
            if not path.exists():
                values = _voxels(source)
                with whole_file(path) as temporary:
                    nib.save(nib.Nifti1Image(values, source.grid.affine), temporary)
        return path

    def close(self) -> None:
        """End the building of proxies."""
        for process in self._building.values():
            process.terminate()
            process.wait()

    @contextmanager
    def _source(
        self, told: SourceMessage, asked: NewSource, plane: str | None = None, window: WindowChoice | None = None
    ) -> Iterator[FrameSource]:
        """A source opened for looking, for one thread at a time."""
        key = f"{told.id} {plane} {window}"
        with self._opening:
            if key not in self._open:
                self._open[key] = (threading.Lock(), self._opener.open(asked, plane, window))
            self._open.move_to_end(key)
            lock, source = self._open[key]
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
        with lock:
            yield source

    @contextmanager
    def _volume(
        self, told: SourceMessage, asked: NewSource, plane: str | None = None, window: WindowChoice | None = None
    ) -> Iterator[VolumeSource]:
        """A volume opened for looking."""
        if told.kind != "volume":
            raise Refusal("invalid", f"{told.name} is no volume: ask for its frames")
        with self._source(told, asked, plane, window) as source:
            assert isinstance(source, VolumeSource)
            yield source

    @contextmanager
    def _proxied(self, told: SourceMessage) -> Iterator[FrameSource]:
        """The proxy of a video; ValueError while there is none."""
        path = self._folder / str(told.id) / "proxy.mp4"
        if not path.exists():
            raise ValueError(f"{told.name} has no proxy yet")
        key = f"proxy {told.id}"
        with self._opening:
            if key not in self._open:
                self._open[key] = (threading.Lock(), VideoSource(path))
            self._open.move_to_end(key)
            lock, source = self._open[key]
        if len(source) != told.frames:  # frame numbers must be the source's
            raise ValueError(f"the proxy of {told.name} has {len(source)} frames")
        with lock:
            yield source

    def _build_proxy(self, told: SourceMessage, asked: NewSource) -> None:
        """Start building the proxy of a video, once."""
        path = self._folder / str(told.id) / "proxy.mp4"
        if told.kind != "video" or told.names or told.id in self._building or path.exists():
            return
        file = self._opener.locate(asked)
        if file.is_dir():
            return
        command = [sys.executable, "-m", "trocar.serve.proxy", str(file), str(path), json.dumps(to_json(asked))]
        self._building[told.id] = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _check_slice(told: SourceMessage, plane: str, index: int, slices: int) -> None:
    if not 0 <= index < slices:
        raise Refusal("missing", f"{told.name} has {plane} slices 0 to {slices - 1}: ask for one of them")


def npy_bytes(values: NDArray[np.generic]) -> bytes:
    """An array in NumPy's file format."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def encoded(image: NDArray[np.uint8], kind: PictureFormat) -> tuple[bytes, str]:
    """An RGB picture as a file, and its media type."""
    if kind == "npy":
        return npy_bytes(image), "application/x-npy"
    settings = [cv2.IMWRITE_JPEG_QUALITY, 90] if kind == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, data = cv2.imencode(".jpg" if kind == "jpeg" else ".png", image[..., ::-1], settings)
    assert done
    return data.tobytes(), f"image/{kind}"


def scaled(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """An RGB picture with `width` columns, its aspect kept."""
    rows, columns = image.shape[:2]
    if width == columns:
        return image
    size = (width, max(1, round(rows * width / columns)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def parse_window(said: str) -> WindowChoice:
    """A window from the text LEVEL,WIDTH or a name.

    Raises:
        ValueError: it has a comma, but not between two numbers.
    """
    if "," not in said:
        return said
    try:
        level, width = (float(part) for part in said.split(","))
    except ValueError as error:
        raise ValueError(f"window {said[:40]!r}: write LEVEL,WIDTH, as in 40,400, or a preset's name") from error
    return level, width


def _voxels(source: VolumeSource) -> NDArray[np.generic]:
    """All values of a volume in the order of its file, as numbers that NIfTI holds; colours as their mean."""
    voxels = source.voxels
    axis = voxels.slab_axis
    slabs = [voxels.slab(axis, at) for at in range(voxels.shape[axis])]
    slabs = [slab.mean(axis=2) if slab.ndim == 3 else slab for slab in slabs]
    kind = np.result_type(*slabs)
    if kind == np.int64 or kind == np.bool_:
        kind = np.dtype(np.int32)
    return np.stack(slabs, axis=axis).astype(np.float32 if kind == np.float16 else kind)
