"""Frames of a clip at given moments, by seeking: what curation and pretraining read of a video.

Unlike `trocar.formats.video`, which numbers every displayed frame and therefore reads the whole file once, this goes to
the keyframe before each moment and decodes from there. A moment gives the first frame shown at or after it, or the last
one there is; which frame that is may differ by one between containers, which pretraining does not mind.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from trocar.formats.video_index import open_video

Image = NDArray[np.uint8]
GAP_S = 4.0
"""Moments further apart than this are sought one by one; nearer ones are reached by decoding on."""


def uniform_moments(start_s: float, stop_s: float, count: int) -> list[float]:
    """`count` moments in the middles of equal parts of a stretch, seconds."""
    part = (stop_s - start_s) / count
    return [start_s + (number + 0.5) * part for number in range(count)]


def frames_at(path: Path, moments_s: Sequence[float], short_side: int = 0) -> list[Image]:
    """RGB frames (rows, columns, 3) at moments, which ascend.

    Args:
        moments_s: seconds after the video's first moment.
        short_side: shrink frames so that their shorter side has this many pixels; 0 leaves them as they are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded there, or moments do not ascend.
    """
    if any(after < before for before, after in pairwise(moments_s)):
        raise ValueError(f"moments must ascend, not {list(moments_s)}: sort them")
    frames: list[Image] = []
    with open_video(path) as container:
        container.streams.video[0].codec_context.thread_count = 1  # many clips are read at once, by processes
        try:
            for group in _groups(moments_s):
                frames += [_picture(frame, short_side) for frame in _decode(container, group)]
        except av.error.FFmpegError as error:
            raise ValueError(f"{path} cannot be decoded at {moments_s[len(frames)]:.1f} s: it is damaged") from error
    if len(frames) < len(moments_s):
        raise ValueError(f"{path} shows nothing at {moments_s[len(frames)]:.1f} s: it is shorter than its header says")
    return frames


def _groups(moments_s: Sequence[float]) -> list[list[float]]:
    """Runs of moments that lie near one another."""
    groups: list[list[float]] = []
    for moment in moments_s:
        if groups and moment - groups[-1][-1] <= GAP_S:
            groups[-1].append(moment)
        else:
            groups.append([moment])
    return groups


def _decode(container: InputContainer, moments_s: Sequence[float]) -> list[VideoFrame]:
    """The frame of each moment, in one pass from the keyframe before the first."""
    stream = container.streams.video[0]
    base = float(stream.time_base or 1)
    first = (stream.start_time or 0) * base
    container.seek(int((first + moments_s[0]) / base), stream=stream, backward=True)
    found: list[VideoFrame] = []
    last: VideoFrame | None = None
    half = 0.5 / float(stream.average_rate or 25)  # a frame counts from half its duration before its time
    for frame in container.decode(stream):
        if frame.pts is None:
            continue
        last = frame
        while len(found) < len(moments_s) and frame.pts * base - first + half >= moments_s[len(found)]:
            found.append(frame)
        if len(found) == len(moments_s):
            return found
    return found + [last] * (len(moments_s) - len(found)) if last is not None else found


def _picture(frame: VideoFrame, short_side: int) -> Image:
    rows, columns = frame.height, frame.width
    if short_side and min(rows, columns) > short_side:
        scale = short_side / min(rows, columns)
        frame = frame.reformat(round(columns * scale), round(rows * scale))
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
