"""An mp4 for people: every object's contour, a translucent fill and its id, drawn over the source's frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.formats.colours import colour_of
from trocar.formats.mask_set import MaskSet
from trocar.formats.whole_file import whole_file
from trocar.masks import FrameMasks

FILL = 0.35
CLOCK_HZ = 90_000
STILLS_HZ = 10.0
"""Pace for sources that have none: slices and pictures."""


def draw_overlay(image: NDArray[np.uint8], masks: FrameMasks) -> NDArray[np.uint8]:
    """A copy of an RGB picture with the masks drawn in.

    Args:
        image: (rows, columns, 3) uint8 RGB.
        masks: masks of the same size.

    Returns:
        (rows, columns, 3) uint8 RGB.
    """
    picture = np.ascontiguousarray(image).copy()
    width = max(1, round(min(picture.shape[:2]) / 240))
    present = {i: np.ascontiguousarray(m, np.uint8) for i, m in sorted(masks.masks.items()) if m.any()}
    for object_id, mask in present.items():
        colour = colour_of(object_id)
        x, y, w, h = cv2.boundingRect(mask)
        inside, region = mask[y : y + h, x : x + w], picture[y : y + h, x : x + w]
        tint = cv2.addWeighted(region, 1 - FILL, np.full_like(region, colour), FILL, 0)
        cv2.copyTo(tint, inside, region)
        contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, contours, -1, colour, width, cv2.LINE_AA, offset=(x, y))
    for object_id, mask in present.items():  # after all fills, so that no object hides another's number
        _draw_id(picture, object_id, mask)
    return picture


def _draw_id(picture: NDArray[np.uint8], object_id: int, mask: NDArray[np.uint8]) -> None:
    rows, columns = mask.shape
    scale = max(0.35, min(rows, columns) / 600)
    thickness = max(1, round(scale * 1.6))
    (w, h), _ = cv2.getTextSize(str(object_id), cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    # The pixel farthest from the outline is inside the object even where its centroid is not.
    x0, y0, box_w, box_h = cv2.boundingRect(mask)
    padded = cv2.copyMakeBorder(mask[y0 : y0 + box_h, x0 : x0 + box_w], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    y, x = np.unravel_index(int(cv2.distanceTransform(padded, cv2.DIST_L2, 3).argmax()), padded.shape)
    left = int(np.clip(x0 + x - 1 - w // 2, 0, max(columns - w, 0)))
    base = int(np.clip(y0 + y - 1 + h // 2, h, max(rows - 1, h)))
    for colour, thick in (((0, 0, 0), thickness + 2), ((255, 255, 255), thickness)):
        cv2.putText(picture, str(object_id), (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)


def write_overlay(path: Path, segmented: MaskSet) -> None:
    """Write an H.264 mp4 of the frames that have been segmented, each shown when the source shows it.

    The source is decoded once, frame by frame. A stretch without frames holds the frame before it.
    """
    source = segmented.on
    with whole_file(path) as temporary:
        container = av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"})
        with container:
            stream: Any = None
            start_s, last_pts = 0.0, -1
            for masks in segmented:
                shown = source[masks.frame]
                picture = _even(draw_overlay(shown.image, masks))
                time_s = shown.time_s if shown.time_s is not None else masks.frame / (source.rate_hz or STILLS_HZ)
                if stream is None:
                    start_s = time_s
                    stream = _add_stream(container, picture, source.rate_hz or STILLS_HZ)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.time_base = Fraction(1, CLOCK_HZ)
                frame.pts = last_pts = max(round((time_s - start_s) * CLOCK_HZ), last_pts + 1)
                container.mux(stream.encode(frame))
            if stream is None:
                raise ValueError(f"{path} would show nothing: no frame has been segmented")
            container.mux(stream.encode(None))


def _add_stream(container: Any, picture: NDArray[np.uint8], rate_hz: float) -> Any:
    name = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    stream = container.add_stream(name, rate=Fraction(rate_hz).limit_denominator(1001))
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
    if name == "libx264":
        stream.options = {"preset": "veryfast", "crf": "20"}
    else:
        stream.bit_rate = int(picture.shape[0] * picture.shape[1] * rate_hz * 0.2)
    return stream


def _even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H.264 stores colour at half size, so both sides must be even: the last row or column is repeated."""
    rows, columns = picture.shape[:2]
    return np.pad(picture, ((0, rows % 2), (0, columns % 2), (0, 0)), mode="edge")
