"""Which frames a video shows: the sorted timestamps of its displayed frames, and where decoding can start."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

THREADS = 4
"""Decoding threads: each holds frames, so a machine with many cores must not use them all."""


@dataclass(frozen=True)
class FrameIndex:
    """The displayed frames of a video.

    Args:
        pts: (frames,) presentation timestamps, ascending: frame i is the one shown at pts[i]. Where not `seekable` they
            are made up from the frame rate.
        key_pts: (keys,) presentation timestamps of the keyframes, ascending.
        key_dts: (keys,) what to seek to for each of them.
        seekable: False where timestamps are missing: frames can only be counted from the start then.
    """

    pts: NDArray[np.int64]
    key_pts: NDArray[np.int64]
    key_dts: NDArray[np.int64]
    seekable: bool = True

    def __len__(self) -> int:
        return len(self.pts)

    def number(self, pts: int) -> int | None:
        """The frame shown at exactly `pts`, or None."""
        i = int(np.searchsorted(self.pts, pts))
        return i if i < len(self.pts) and self.pts[i] == pts else None

    def is_key(self, pts: int, dts: int | None, up_to: int) -> bool:
        """Whether these are the timestamps of a keyframe, and not of a later one than number `up_to`."""
        key = int(np.searchsorted(self.key_pts, pts))
        return key <= up_to and self.key_pts[key] == pts and self.key_dts[key] == (pts if dts is None else dts)

    def key_before(self, frame: int) -> int:
        """The last keyframe shown at or before `frame`; -1 if there is none.

        Frames that follow a keyframe in the file but are shown before it (open GOPs) may need the GOP before, and are
        given to that GOP, because this compares what is shown.
        """
        return int(np.searchsorted(self.key_pts, self.pts[frame], side="right")) - 1


def open_video(path: Path) -> InputContainer:
    """Open a video file with one decodable video stream.

    Raises:
        FileNotFoundError, ValueError: with the cause and the remedy.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise ValueError(_why_unreadable(path)) from error
    if not container.streams.video:
        container.close()
        raise ValueError(f"{path} holds no video stream, only sound or data: give a video file")
    stream = container.streams.video[0]
    stream.codec_context.thread_type = "AUTO"
    stream.codec_context.thread_count = THREADS
    return container


def _why_unreadable(path: Path) -> str:
    size = path.stat().st_size
    if size == 0:
        return f"{path} is empty (0 bytes): copy it again from where it came from"
    boxes = _mp4_boxes(path, size)
    if "ftyp" in boxes and "moov" not in boxes:
        return f"{path} is cut short: its index (the moov atom) is missing; copy it again or record it again"
    return f"{path} cannot be read as a video: it is damaged or not a video; try to convert it to mp4 first"


def _mp4_boxes(path: Path, size: int) -> list[str]:
    """Names of the top-level boxes of an ISO base media file (ISO/IEC 14496-12, section 4.2)."""
    boxes: list[str] = []
    position = 0
    with path.open("rb") as file:
        while position + 8 <= size and len(boxes) < 10_000:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            boxes.append(head[4:8].decode("latin-1"))
            if length < 8:
                break
            position += length
    return boxes


def build_index(path: Path) -> FrameIndex:
    """Read a video once, without decoding where its timestamps are complete, and list what it shows.

    A file that breaks off keeps the frames before the break, with a warning.
    """
    shown: list[int] = []
    keys: list[tuple[int, int]] = []
    packets = 0
    complete, broken = True, False
    with open_video(path) as container:
        stream = container.streams.video[0]
        promised = len(stream.index_entries)
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                packets += 1
                if packet.is_corrupt:
                    broken = True
                elif packet.pts is None:
                    complete = False
                elif not packet.is_discard:  # edit lists decode some packets without showing them
                    shown.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        except av.error.FFmpegError:
            broken = True
    broken = broken or packets < promised
    if not complete or len(set(shown)) < len(shown):
        return _index_by_decoding(path)
    first = _first_frame(path)
    if first is None or first.pts is None:
        raise ValueError(f"{path} holds no frame that can be decoded: it is damaged; copy it again")
    # Before the first keyframe of a recording that starts anywhere, nothing can be shown.
    pts = np.array(sorted(t for t in shown if t >= first.pts), np.int64)
    if broken:
        warnings.warn(f"{path} is damaged or cut short: {len(pts)} frames can be read", stacklevel=4)
    key_pts, key_dts = np.array(sorted(keys), np.int64).reshape(-1, 2).T
    return FrameIndex(pts, key_pts, key_dts)


def _first_frame(path: Path) -> VideoFrame | None:
    with open_video(path) as container:
        for packet in container.demux(container.streams.video[0]):
            for frame in decoded(packet):
                return frame
    return None


def decoded(packet: av.Packet[Any]) -> list[VideoFrame]:
    """The frames that a packet completes; none where it is damaged.

    A packet that the container marks as damaged is not decoded: with threads its error would surface at, and cost, a
    frame that is whole.
    """
    if packet.is_corrupt:
        return []
    try:
        return [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
    except av.error.FFmpegError:
        return []


def _index_by_decoding(path: Path) -> FrameIndex:
    warnings.warn(
        f"{path} has incomplete timestamps: it is decoded once to count its frames, and going back in it is slow; "
        "converting it to mp4 mends both",
        stacklevel=5,
    )
    with open_video(path) as container:
        stream = container.streams.video[0]
        count = sum(len(decoded(packet)) for packet in container.demux(stream))
        ticks = 1 / ((stream.average_rate or stream.guessed_rate or 25) * (stream.time_base or 1))
    if count == 0:
        raise ValueError(f"{path} holds no frame that can be decoded: it is damaged; copy it again")
    nothing = np.zeros(0, np.int64)
    return FrameIndex(np.array([round(i * ticks) for i in range(count)], np.int64), nothing, nothing, seekable=False)
