"""What to look at first: how confident each mask of an image set is, and a contact sheet of the least confident.

Confidence is the IoU that the network predicts for its own mask, and 0 where it judges the object absent: on a set
every picture is thought to show the object, so absence is worth a look. An image is as confident as its least
confident object. What the user prompted is certain already and is not up for review.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from trocar.formats.mask_set import frame_name
from trocar.formats.overlay import draw_overlay
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource
from trocar.masks import FrameMasks

Picture = NDArray[np.uint8]

TILE_PX = 240
CAPTION_PX = 20
GAP_PX = 4
GROUND = 48


@dataclass(frozen=True)
class Confidence:
    """One object on one image.

    Args:
        image: the picture's name.
        object_id: which object.
        confidence: 0..1, see above.
        area_px: pixels of its mask; 0 where it is absent.
        prompted: whether the mask answers a prompt.
        frame: the picture's place in its source.
    """

    image: str
    object_id: int
    confidence: float
    area_px: int
    prompted: bool
    frame: int


def confidences(frames: Iterable[FrameMasks], source: FrameSource) -> list[Confidence]:
    """Of every object on every image, least confident first; prompted ones are last."""
    found = [
        Confidence(
            frame_name(source, one.frame),
            object_id,
            one.scores.get(object_id, 0.0),
            int(mask.sum()),
            object_id in one.prompted,
            one.frame,
        )
        for one in frames
        for object_id, mask in one.masks.items()
    ]
    return sorted(found, key=lambda row: (row.prompted, row.confidence, row.frame, row.object_id))


def write_confidences(path: Path, rows: Iterable[Confidence]) -> None:
    """Write a CSV file with a line for each, in their order."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("image", "object", "confidence", "area_px", "prompted"))
        for row in rows:
            prompted = "yes" if row.prompted else "no"
            lines.writerow((row.image, row.object_id, f"{row.confidence:.4f}", row.area_px, prompted))


def least_confident(rows: Iterable[Confidence], count: int) -> dict[int, float]:
    """Frame -> confidence of the images to review, least first: at most `count`, and none without a tracked object."""
    tracked = sorted((row for row in rows if not row.prompted), key=lambda row: (row.confidence, row.frame))
    least: dict[int, float] = {}
    for row in tracked:
        least.setdefault(row.frame, row.confidence)
    return dict(list(least.items())[:count])


def write_review(path: Path, frames: Iterable[FrameMasks], source: FrameSource, chosen: dict[int, float]) -> None:
    """Write a contact sheet, in reading order of `chosen`: picture, contours, name and confidence.

    Args:
        path: a PNG file.
        frames: masks, those of the chosen frames among them.
        source: the pictures.
        chosen: frame -> confidence, see `least_confident`.

    Raises:
        ValueError: nothing is chosen.
    """
    if not chosen:
        raise ValueError(f"{path} would show nothing: every mask answers a prompt")
    masks = {one.frame: one for one in frames if one.frame in chosen}
    tiles = [
        _tile(source[frame].image, masks[frame], f"{confidence:.2f}  {frame_name(source, frame)}")
        for frame, confidence in chosen.items()
    ]
    with whole_file(path) as temporary:
        Image.fromarray(_sheet(tiles)).save(temporary, format="PNG")


def _tile(image: Picture, masks: FrameMasks, caption: str) -> Picture:
    """A picture with its contours, fitted into a square, below its caption."""
    rows, columns = image.shape[:2]
    scale = TILE_PX / max(rows, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    # Enlarged first, so that lines and numbers are equally thick on small and large pictures.
    large = {
        name: cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        for name, mask in masks.masks.items()
    }
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    drawn = draw_overlay(cv2.resize(image, size, interpolation=way).astype(np.uint8), FrameMasks(masks.frame, large))
    tile = np.full((TILE_PX + CAPTION_PX, TILE_PX, 3), GROUND, np.uint8)
    top, left = CAPTION_PX + (TILE_PX - size[1]) // 2, (TILE_PX - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = drawn
    titled = Image.fromarray(tile)
    ImageDraw.Draw(titled).text((4, 3), caption, fill=(255, 255, 255), font=ImageFont.load_default(13))
    return np.asarray(titled)


def _sheet(tiles: list[Picture]) -> Picture:
    """Tiles of one size in rows, about as many across as down."""
    across = math.ceil(math.sqrt(len(tiles)))
    rows, columns = (side + GAP_PX for side in tiles[0].shape[:2])
    sheet = np.full((-(-len(tiles) // across) * rows + GAP_PX, across * columns + GAP_PX, 3), GROUND, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // across * rows + GAP_PX, number % across * columns + GAP_PX
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet
