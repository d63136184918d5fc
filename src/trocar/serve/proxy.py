"""A small copy of a video for scrubbing: as many frames, quick to seek in. The model never sees it.

Run as a program of its own, at low priority, so that it takes no time from clicks.
"""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from trocar.formats import open_source
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource

PROXY_WIDTH = 960
KEYFRAME_EVERY = 12


def write_proxy(path: Path, source: FrameSource, width: int = PROXY_WIDTH) -> None:
    """Write an mp4 of `width` columns with a keyframe every 12 frames and no frame that refers to a later one."""
    rows, columns = source.geometry.size
    width = min(width, columns) // 2 * 2 or 2
    height = max(2, round(rows * width / columns) // 2 * 2)
    with whole_file(path) as temporary, av.open(str(temporary), "w") as container:
        rate = Fraction(source.rate_hz or 25).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = KEYFRAME_EVERY, 0
        stream.codec_context.thread_count = 1
        for index in range(len(source)):
            small = cv2.resize(source[index].image, (width, height), interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(small, np.uint8), format="rgb24")))
        container.mux(stream.encode())


def main(arguments: list[str]) -> int:
    """FILE PROXY ASKED: build the proxy of a video file; `ASKED` is a NewSource in JSON."""
    if hasattr(os, "nice"):
        os.nice(10)
    file, proxy, asked = Path(arguments[0]), Path(arguments[1]), json.loads(arguments[2])
    options = {name: asked[name] for name in ("series", "key", "uneven")}
    window = tuple(asked["window"]) if isinstance(asked["window"], list) else asked["window"]
    own = proxy.with_name(f"proxy-{os.getpid()}.mp4")  # one that a server which was killed had started may still run
    write_proxy(own, open_source(file, window=window, plane=asked["plane"], **options))
    os.replace(own, proxy)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
