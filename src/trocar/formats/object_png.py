"""Black and white PNG, a folder an object and a file a frame, as SAM 2's tools write and read them: 001/00000.png."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from trocar.formats.images import natural_key
from trocar.formats.label_png import read_png
from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ReadOptions, frame_name
from trocar.formats.whole_file import whole_file
from trocar.geometry import Geometry
from trocar.masks import FrameMasks


def write_object_pngs(folder: Path, one: FrameMasks, masks: MaskSet) -> Path:
    """Write one frame's masks, a file an object: 255 inside, 0 outside. Returns the folder.

    Raises:
        ValueError: an object id below 1.
    """
    for object_id, mask in one.masks.items():
        if object_id < 1:
            raise ValueError(f"an object's folder is named by an id from 1, not {object_id}: renumber the objects")
        path = folder / f"{object_id:03d}" / f"{frame_name(masks.on, one.frame)}.png"
        with whole_file(path) as temporary:
            Image.fromarray(mask.astype(np.uint8) * 255).save(temporary, format="PNG", compress_level=3)
    return folder


def read_object_pngs(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks from folders named by object ids; the place of a file's name among all names is the frame's number.

    What is not 0 is the object.

    Raises:
        FileNotFoundError, ValueError: missing, no such folders, or pictures that differ in size.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder: name the one that holds a folder an object")
    folders = {int(one.name): one for one in path.iterdir() if one.is_dir() and one.name.isdecimal()}
    files = {i: {file.name: file for file in one.glob("*.png")} for i, one in sorted(folders.items())}
    names = sorted({name for found in files.values() for name in found if not name.startswith(".")}, key=natural_key)
    if not names or 0 in files:
        raise ValueError(f"{path} holds no masks an object: make folders of PNG files named by ids from 1 (001, 002)")
    first = next(found[names[0]] for found in files.values() if names[0] in found)
    size = read_png(first).shape
    on = Canvas(str(path), Geometry((size[0], size[1])), len(names), names)

    def frames() -> Iterator[FrameMasks]:
        for number, name in enumerate(names):
            masks = {i: read_png(found[name]) != 0 for i, found in files.items() if name in found}
            for i, mask in masks.items():
                if mask.shape != size:
                    raise ValueError(f"{files[i][name]} is {mask.shape}, {first} {size}: all masks must have one size")
            yield FrameMasks(number, masks)

    return MaskSet(on, frames)
