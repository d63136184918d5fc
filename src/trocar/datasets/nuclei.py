"""Nuclei: one fluorescence image and one small volume with a label for each nucleus; the examples of StarDist.

The image is cut into squares that do not overlap, a case each; the volume is one case, its slices the frames. Grey
values are stretched so that the 0.5 and 99.5 percentiles of each file become 0 and 255.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up
from trocar.frames import ArraySource

CROP_PX = 256
Part = tuple[slice, slice]


def cases(root: Path, split: str) -> Iterator[Case]:
    rows, columns = _size(root, "2d")
    for top in range(0, rows - CROP_PX + 1, CROP_PX):
        for left in range(0, columns - CROP_PX + 1, CROP_PX):
            part = np.s_[top : top + CROP_PX, left : left + CROP_PX]
            yield _case(root, "2d", f"2d/{top}-{left}", part)
    yield _case(root, "3d", "3d", np.s_[:, :])


def _case(root: Path, kind: str, name: str, part: Part) -> Case:
    """A part of every page of one file; its ids are looked up in the file, which is small."""
    ids = _pages(root / f"mask{kind}.tif")[(slice(None), *part)]
    objects = {int(number): "nucleus" for number in np.unique(ids) if number}

    def source() -> ArraySource:
        return ArraySource(_stretched(root / f"img{kind}.tif")[(slice(None), *part)], f"nuclei/{name}")

    def truth(frame: int) -> FrameTruth:
        return FrameTruth({number: ids[frame] == number for number in objects if (ids[frame] == number).any()})

    return Case(name, len(ids), source, truth, objects, group=kind)


def _stretched(path: Path) -> NDArray[np.uint8]:
    grey = _pages(path).astype(np.float32)
    low, high = np.percentile(grey, (0.5, 99.5))
    stretched: NDArray[np.uint8] = np.clip((grey - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return stretched


def _size(root: Path, kind: str) -> tuple[int, int]:
    _, rows, columns = _pages(root / f"mask{kind}.tif").shape
    return rows, columns


def _pages(path: Path) -> NDArray[np.uint16]:
    """(pages, rows, columns) of a TIFF file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: is the set complete?")
    try:
        with Image.open(path) as pages:
            return np.stack([np.asarray(page, np.uint16) for page in ImageSequence.Iterator(pages)])
    except (OSError, SyntaxError, ValueError) as error:  # which one depends on the version of Pillow
        raise ValueError(f"{path} cannot be read as a picture: it is damaged or cut short; fetch it again") from error


def write_fixture(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for kind, frames, size in (("2d", 1, (CROP_PX, CROP_PX + 8)), ("3d", 3, (20, 24))):
        images, labels = made_up(frames, (1, 2, 3), size)
        for name, pixels in (("img", images[..., 0].astype(np.uint16) * 16), ("mask", labels.astype(np.uint16))):
            pages = [Image.fromarray(page) for page in pixels]
            pages[0].save(root / f"{name}{kind}.tif", save_all=True, append_images=pages[1:])


DATASET = Dataset(
    name="nuclei",
    title="StarDist's example nuclei",
    frames="picture",
    ids="instances",
    licence="BSD-3-Clause",
    obtain="https://github.com/stardist/stardist",
    citation="Schmidt et al., Cell detection with star-convex polygons, MICCAI 2018",
    classes={1: "nucleus"},
    splits={"train": Split("all there is")},
    layout="img2d.tif  mask2d.tif  (512 x 512, 16 bit)\nimg3d.tif  mask3d.tif  (31 slices of 61 x 57)",
    cases=cases,
    write_fixture=write_fixture,
    folder="formats/instances",
)
