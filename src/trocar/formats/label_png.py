"""Label maps as palette PNG, one file a frame: the pixel's value is the object's id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from trocar.formats.colours import COLOURS
from trocar.formats.images import natural_key
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource
from trocar.masks import FrameMasks, from_label_map, to_label_map

HIGHEST_ID = 255


def label_name(frame: int, source: FrameSource) -> str:
    """File name of a frame's label map: the picture's own name in a folder of pictures, else its number."""
    names: tuple[str, ...] = getattr(source, "names", ())
    stem = names[frame] if names else f"{frame:0{max(5, len(str(len(source) - 1)))}d}"
    return f"{stem}.png"


def write_label_png(folder: Path, masks: FrameMasks, source: FrameSource) -> Path:
    """Write one frame's masks as an 8-bit palette PNG at source size.

    Raises:
        ValueError: an object id above 255, which a palette cannot hold.
    """
    labels = to_label_map(masks, source.geometry.size, HIGHEST_ID).astype(np.uint8)
    image = Image.fromarray(labels)
    image.putpalette(COLOURS.tobytes())
    path = folder / label_name(masks.frame, source)
    with whole_file(path) as temporary:
        image.save(temporary, format="PNG", compress_level=3)
    return path


def read_label_pngs(folder: Path) -> Iterator[FrameMasks]:
    """Masks from a folder of label maps in natural order; the place in that order is the frame's number.

    Raises:
        ValueError: no PNG there, or one that is not a map of ids.
    """
    paths = sorted(folder.glob("*.png"), key=lambda p: natural_key(p.name))
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise ValueError(f"{folder} holds no label maps: name a folder of PNG files")
    for frame, path in enumerate(paths):
        with Image.open(path) as image:
            labels = np.asarray(image)
        if labels.ndim != 2:
            raise ValueError(f"{path} is a colour picture, not a label map: its pixels must be object ids")
        yield from_label_map(labels, frame)
