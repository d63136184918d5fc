"""Video files through PyAV: frame i is the i-th frame that the file displays, upright and with square pixels."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from trocar.formats.video_index import build_index, decoded, open_video
from trocar.frames import Frame
from trocar.geometry import Geometry

EXTENSIONS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".gif")

BACKWARD_FRAMES = 250
BACKWARD_BYTES = 128 * 2**20
"""Decoded frames kept when going back in a video, so that a group of pictures is not decoded anew for each of them."""

FORWARD_FRAMES = 4
SKIP_AHEAD = 8
"""Seek to a keyframe ahead only when it saves at least this many decoded frames."""


class VideoSource:
    """A video file as a source of frames.

    Going forward decodes each frame once; any other order seeks to the keyframe before and checks every timestamp, so a
    frame is the same however it was reached. A frame in the file that cannot be decoded shows its predecessor, as a
    player does, with a warning. Never more than a bounded number of frames is held. Threads that read take turns.

    Args:
        path: the file.

    Raises:
        FileNotFoundError, ValueError: missing, cut short, damaged, or no video; with the remedy.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self.name = str(path)
        self._index = build_index(self._path)
        self._container: InputContainer = open_video(self._path)
        self._reformatter = VideoReformatter()
        self._cache: OrderedDict[int, VideoFrame] = OrderedDict()
        self._decoder: Iterator[tuple[int, VideoFrame]] | None = None
        self._next = 0
        self._closed = False
        self._turn = Lock()
        first = self._decode(0)
        stream = self._container.streams.video[0]
        self._time_base = float(stream.time_base or Fraction(1, 1))
        self._size = _square_pixels(first.height, first.width, stream.sample_aspect_ratio)
        self._matrix = _display_matrix(first)
        rows, columns = self._size
        self.geometry = Geometry((columns, rows) if _transposes(self._matrix) else (rows, columns))
        span = float(self._index.pts[-1] - self._index.pts[0]) * self._time_base
        self.rate_hz: float | None = (len(self) - 1) / span if span > 0 else None

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {len(self) - 1}")
        rows, columns = self._size
        with self._turn:
            if self._closed:
                raise ValueError(f"{self.name} has been closed: open it again")
            frame = self._decode(index)
            picture: Any = self._reformatter.reformat(frame, columns, rows, "rgb24").to_ndarray()
        time_s = float(self._index.pts[index] - self._index.pts[0]) * self._time_base
        return Frame(index, _upright(picture, self._matrix), time_s)

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the source cannot be read afterwards."""
        with self._turn:
            self._closed = True
            self._decoder = None
            self._cache.clear()
            self._container.close()

    def _decode(self, index: int) -> VideoFrame:
        if index in self._cache:
            return self._cache[index]
        keep, sought = FORWARD_FRAMES, False
        if self._decoder is None or index < self._next or self._key_number(index) > self._next + SKIP_AHEAD:
            keep = BACKWARD_FRAMES if index < self._next else keep
            sought = self._restart(index)
        frame = self._advance(index, keep)
        if frame is None and sought:
            # Where a container has no index, timestamps after a seek are guesses; from the start they are not.
            self._restart(index, from_start=True)
            frame = self._advance(index, keep)
        if frame is not None:
            return frame
        if not self._cache:
            raise ValueError(f"{self.name} cannot be decoded at frame {index}: it is damaged; copy it again")
        warnings.warn(f"{self.name}: frame {index} is damaged, its neighbour is shown instead", stacklevel=3)
        before = [number for number in self._cache if number < index]
        self._cache[index] = self._cache[max(before, default=min(self._cache))]
        return self._cache[index]

    def _advance(self, index: int, keep: int) -> VideoFrame | None:
        """Decode up to frame `index`, keeping the last frames passed; None if it does not come."""
        assert self._decoder is not None
        for number, frame in self._decoder:
            room = min(keep, max(FORWARD_FRAMES, BACKWARD_BYTES // (frame.width * frame.height * 3 // 2)))
            self._cache[number] = frame
            while len(self._cache) > room:
                self._cache.popitem(last=False)
            self._next = number + 1
            if number >= index:
                return frame if number == index else None
        return None

    def _key_number(self, index: int) -> int:
        key = self._index.key_before(index)
        if key < 0 or not self._index.seekable:
            return 0
        return int(np.searchsorted(self._index.pts, self._index.key_pts[key]))

    def _restart(self, index: int, from_start: bool = False) -> bool:
        """Put the decoder on a keyframe at or before `index`; True if that took a seek, which may have lied."""
        self._cache.clear()
        self._decoder = None
        known = self._index
        key, back = known.key_before(index), 1
        while known.seekable and key > 0 and not from_start:
            stream = self._container.streams.video[0]
            self._container.seek(int(known.key_dts[key]), stream=stream, backward=True)
            packets = self._container.demux(stream)
            start = next((p for p in packets if p.is_keyframe and p.pts is not None), None)
            # Containers without an index (MPEG-TS) may land past the keyframe asked for, or count time anew (MPEG-PS).
            if start is not None and start.pts is not None and known.is_key(start.pts, start.dts, up_to=key):
                self._decoder = self._numbered(chain([start], packets), start.pts)
                return True
            key, back = key - back, back * 2
        self._container.close()
        self._container = open_video(self._path)
        self._decoder = self._numbered(self._container.demux(self._container.streams.video[0]), None)
        return False

    def _numbered(self, packets: Iterator[av.Packet[Any]], start: int | None) -> Iterator[tuple[int, VideoFrame]]:
        """Displayed frames with their numbers; those shown before the starting keyframe lack their references."""
        shown = chain.from_iterable(decoded(packet) for packet in packets)
        if not self._index.seekable:
            yield from enumerate(shown)
            return
        for frame in shown:
            if frame.pts is None or (start is not None and frame.pts < start):
                continue
            number = self._index.number(frame.pts)
            if number is not None:
                yield number, frame


def _square_pixels(rows: int, columns: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size with square pixels: the side that is too short grows, so that no detail is lost."""
    ratio = float(aspect) if aspect else 1.0
    return (rows, round(columns * ratio)) if ratio >= 1 else (round(rows / ratio), columns)


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The signs (a, b, c, d) of the map shown = (a x + c y, b x + d y) that the file asks for (ISO/IEC 14496-12)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) > abs(a):
        return 0, 1 if b > 0 else -1, 1 if c > 0 else -1, 0
    return 1 if a > 0 else -1, 0, 0, 1 if d > 0 else -1


def _transposes(matrix: tuple[int, int, int, int]) -> bool:
    return matrix[0] == 0


def _upright(image: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    a, b, c, d = matrix
    if _transposes(matrix):
        image = image.transpose(1, 0, 2)
    if a + c < 0:
        image = image[:, ::-1]
    if b + d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
