"""Small copies of videos that clips are read from quickly: short side 320, H.264, a keyframe every 16 frames."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av

from trocar.formats.video_index import open_video
from trocar.formats.whole_file import whole_file
from trocar.pretrain.corpus import Corpus, transcoded


@dataclass(frozen=True)
class Transcoding:
    """How copies are made.

    Args:
        short_side: of a copy, pixels; a smaller video keeps its size. SurgRec, section 3.1.
        keyframe_every: frames; a clip is read from the keyframe before it.
        crf: x264's quality, smaller is better.
    """

    short_side: int = 320
    keyframe_every: int = 16
    crf: int = 23


def transcode(
    corpus: Corpus, settings: Transcoding, processes: int = 1, progress: Callable[[int, int], None] | None = None
) -> dict[str, str]:
    """Copy every video that is not excluded and has no copy yet, each as a whole file in the manifest's folder.

    Returns:
        Video -> error of those that could not be copied; their clips are still read from the original.
    """
    folders = {source.name: Path(source.folder) for source in corpus.sources}
    jobs = [
        (folders[one.source] / one.path, transcoded(corpus.folder, one), one.video)
        for one in corpus.videos
        if not one.excluded
    ]
    left = [job for job in jobs if not job[1].is_file()]
    failed: dict[str, str] = {}
    copy = partial(_copied, settings=settings)
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn")) if processes > 1 else None
    try:
        done = pool.map(copy, left) if pool else map(copy, left)
        for number, (video, error) in enumerate(done, len(jobs) - len(left) + 1):
            if error:
                failed[video] = error
            if progress:
                progress(number, len(jobs))
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
    return failed


def _copied(job: tuple[Path, Path, str], settings: Transcoding) -> tuple[str, str]:
    path, copy, video = job
    try:
        write_small_video(path, copy, settings)
    except (ValueError, av.error.FFmpegError) as error:
        return video, " ".join(str(error).split())
    return video, ""


def write_small_video(path: Path, copy: Path, settings: Transcoding) -> None:
    """Write the small copy of a video with the same moments of its frames.

    Raises:
        FileNotFoundError, ValueError: it cannot be read, or shows nothing.
        av.error.FFmpegError: it breaks off.
    """
    with whole_file(copy) as temporary, open_video(path) as original:
        shown = original.streams.video[0]
        with av.open(str(temporary), "w", format="mp4") as container:
            stream: Any = None
            for frame in original.decode(shown):
                if frame.pts is None:
                    continue
                if stream is None:
                    scale = min(1.0, settings.short_side / min(frame.height, frame.width))
                    rate = Fraction(shown.average_rate or 25).limit_denominator(1001)
                    options = {"preset": "veryfast", "crf": str(settings.crf), "sc_threshold": "0"}
                    stream = container.add_stream("libx264", rate=rate, options=options)
                    stream.height, stream.width = (round(side * scale / 2) * 2 for side in (frame.height, frame.width))
                    stream.pix_fmt, stream.codec_context.time_base = "yuv420p", shown.time_base
                    stream.codec_context.gop_size, stream.codec_context.max_b_frames = settings.keyframe_every, 0
                    stream.codec_context.thread_count = 1
                small = frame.reformat(stream.width, stream.height, "yuv420p")
                small.pict_type = 0  # the encoder decides where keyframes are
                container.mux(stream.encode(small))
            if stream is None:
                raise ValueError(f"{path} shows nothing: leave it out or copy it again")
            container.mux(stream.encode())
