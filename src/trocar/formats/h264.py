"""Frames into an H.264 file, for videos that we render ourselves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from trocar.formats.whole_file import whole_file


def write_video(path: Path, images: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Write RGB frames, (rows, columns, 3) of even rows and columns, as H.264."""
    with whole_file(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=round(fps), options={"preset": "veryfast", "crf": "18"})
        stream.codec_context.thread_count = 1
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
