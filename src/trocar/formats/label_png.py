"""Label maps as palette PNG, one file a frame: the pixel's value is the object's id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.formats.colours import COLOURS
from trocar.formats.images import natural_key
from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ReadOptions, frame_name
from trocar.formats.whole_file import whole_file
from trocar.frames import geometry_of
from trocar.geometry import Geometry
from trocar.masks import FrameMasks, from_label_map, to_label_map

HIGHEST_ID = 255


def write_label_png(folder: Path, one: FrameMasks, masks: MaskSet) -> Path:
    """Write one frame's masks as an 8-bit palette PNG at source size.

    Raises:
        ValueError: an object id above 255, which a palette cannot hold.
    """
    labels = to_label_map(one, geometry_of(masks.on, one.frame).size, HIGHEST_ID).astype(np.uint8)
    image = Image.fromarray(labels)
    image.putpalette(COLOURS.tobytes())
    path = folder / f"{frame_name(masks.on, one.frame)}.png"
    with whole_file(path) as temporary:
        image.save(temporary, format="PNG", compress_level=3)
    return path


def read_label_pngs(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks from a folder of label maps in natural order, or from one; the place in that order is the frame's number.

    Raises:
        FileNotFoundError, ValueError: missing, no PNG there, or one that is not a map of ids of the others' size.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    found = path.glob("*.png") if path.is_dir() else [path]
    files = sorted((file for file in found if not file.name.startswith(".")), key=lambda file: natural_key(file.name))
    if not files:
        raise ValueError(f"{path} holds no label maps: name a folder of PNG files")
    size = read_png(files[0]).shape
    on = Canvas(str(path), Geometry((size[0], size[1])), len(files), [file.name for file in files])

    def frames() -> Iterator[FrameMasks]:
        for number, file in enumerate(files):
            labels = read_png(file)
            if labels.shape != size:
                raise ValueError(f"{file} is {labels.shape}, {files[0].name} {size}: all label maps must have one size")
            yield from_label_map(labels, number)

    return MaskSet(on, frames)


def read_png(path: Path) -> NDArray[np.integer[Any]]:
    """The (rows, columns) values of a picture with one channel, of a palette picture its indices.

    Raises:
        ValueError: it is damaged or in colour.
    """
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a picture: it is damaged or cut short") from error
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise ValueError(f"{path} is a colour picture, not a label map: its pixels must be object ids")
    return values.astype(np.uint8) if values.dtype == np.bool_ else values
