"""Videos made for tests: every frame shows its own number as a barcode, so a wrong frame cannot go unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 8
MS = Fraction(1, 1000)


@dataclass(frozen=True)
class Recipe:
    """How to encode a test video; `times_ms` are the frames' display times."""

    times_ms: Sequence[int] = tuple(range(0, 40 * 60, 40))
    size: tuple[int, int] = (48, 64)
    codec: str = "libx264"
    container: str | None = None
    options: dict[str, str] = field(default_factory=lambda: {"g": "12", "bf": "2"})
    aspect: Fraction | None = None
    rotation: int | None = None
    pix_fmt: str = "yuv420p"


def barcode(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture of `BITS` vertical stripes, the lowest bit left."""
    bits = np.array([number >> b & 1 for b in range(BITS)], np.uint8) * 255
    row = np.repeat(bits, size[1] // BITS)
    return np.repeat(np.broadcast_to(row, size)[..., None], 3, axis=2)


def number_in(image: NDArray[np.uint8]) -> int:
    rows, columns = image.shape[:2]
    stripes = [image[rows // 2, int((b + 0.5) * columns / BITS), 0] > 128 for b in range(BITS)]
    return sum(1 << b for b, on in enumerate(stripes) if on)


def write_video(path: Path, recipe: Recipe | None = None, pictures: Sequence[NDArray[np.uint8]] | None = None) -> Path:
    recipe = recipe or Recipe()
    with av.open(str(path), "w", format=recipe.container) as container:
        fixed = recipe.codec in ("mpeg2video", "mpeg4")
        stream = container.add_stream(recipe.codec, rate=25)
        stream.height, stream.width = recipe.size
        stream.pix_fmt = recipe.pix_fmt
        stream.options = dict(recipe.options)
        if not fixed:
            stream.codec_context.time_base = MS
        if recipe.aspect is not None:
            stream.codec_context.sample_aspect_ratio = recipe.aspect
        if recipe.rotation is not None:
            stream.set_display_rotation(recipe.rotation)
        for number, time_ms in enumerate(recipe.times_ms):
            picture = barcode(number, recipe.size) if pictures is None else pictures[number]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.time_base = Fraction(1, 25) if fixed else MS
            frame.pts = number if fixed else time_ms
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_cut(path: Path, original: Path, first: int) -> Path:
    """Cut the beginning off without encoding anew, so that the file decodes frames before `first` but hides them."""
    with av.open(str(original)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        shift = round(first * 0.04 / stream.time_base)
        for packet in source.demux(stream):
            if packet.size:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = copy
                target.mux(packet)
    return path
