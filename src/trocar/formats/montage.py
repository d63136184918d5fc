"""A contact sheet for people: some frames with the objects drawn in and their numbers, in one PNG."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.formats.mask_set import MaskSet, frame_name
from trocar.formats.overlay import draw_overlay
from trocar.formats.whole_file import whole_file
from trocar.frames import geometry_of
from trocar.masks import FrameMasks

TILES = 24
"""How many frames at most; they are spread evenly over those that show an object."""

TILE_PX = 256
CAPTION_PX = 20
GAP_PX = 4


def write_montage(path: Path, masks: MaskSet) -> None:
    """Write the contact sheet of frames that show an object.

    Raises:
        ValueError: no frame does.
    """
    seen = [one.frame for one in masks if any(mask.any() for mask in one.masks.values())]
    if not seen:
        raise ValueError(f"{path} would show nothing: no frame of {masks.on.name} has an object")
    chosen = {seen[i] for i in np.linspace(0, len(seen) - 1, min(TILES, len(seen))).round().astype(int)}
    tiles = [_tile(masks, one) for one in masks if one.frame in chosen]
    with whole_file(path) as temporary:
        Image.fromarray(_sheet(tiles)).save(temporary, format="PNG")


def _tile(masks: MaskSet, one: FrameMasks) -> NDArray[np.uint8]:
    """One frame at the sheet's size, so that contours and numbers are of one size for all sources, and a caption."""
    rows, columns = geometry_of(masks.on, one.frame).size
    scale = TILE_PX / max(rows, columns)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    picture = np.asarray(cv2.resize(masks.on[one.frame].image, size, interpolation=cv2.INTER_AREA), np.uint8)
    # What covers any part of a pixel is drawn: a thread must not vanish.
    small = {
        i: cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0 for i, mask in one.masks.items()
    }
    tile = np.zeros((CAPTION_PX + TILE_PX, TILE_PX, 3), np.uint8)
    top, left = CAPTION_PX + (TILE_PX - size[1]) // 2, (TILE_PX - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = draw_overlay(picture, FrameMasks(one.frame, small))
    name = frame_name(masks.on, one.frame) if getattr(masks.on, "names", ()) else ""
    caption = f"frame {one.frame}  {name}".strip()[:34].encode("ascii", "replace").decode()
    cv2.putText(tile, caption, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _sheet(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    across = math.ceil(math.sqrt(len(tiles)))
    down = math.ceil(len(tiles) / across)
    height, width = (n + GAP_PX for n in tiles[0].shape[:2])
    sheet = np.full((down * height + GAP_PX, across * width + GAP_PX, 3), 48, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = GAP_PX + number // across * height, GAP_PX + number % across * width
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet
