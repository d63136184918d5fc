"""Nuclei: one fluorescence image and one small volume with a label for each nucleus.

From the examples of StarDist (Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018); BSD-3.

Layout: `formats/instances/img2d.tif` (512 x 512, 16 bit) with `mask2d.tif`; `img3d.tif` (31 slices of 61 x 57) with
`mask3d.tif`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from trocar.datasets.clip import Clip
from trocar.datasets.location import locate

SPLITS = {"train": ("2d", "3d")}
CROP_PX = 256


def clips(split: str, root: Path | None = None) -> Iterator[Clip]:
    """The image in crops of 256 x 256 pixels, each a clip of one frame, then the volume, its slices as frames.

    Args:
        split: "train", the only one.
        root: the folder that holds formats/instances/; by default the one that TROCAR_DATA names.

    Raises:
        ValueError: there is no such split.
        FileNotFoundError: the data is missing.
    """
    if split not in SPLITS:
        raise ValueError(f"nuclei has no split {split!r}: choose from {', '.join(SPLITS)}")
    folder = locate("formats/instances", root)
    return _read_all(folder)


def _read_all(folder: Path) -> Iterator[Clip]:
    yield from crops(read_stack(folder, "2d"), CROP_PX)
    yield read_stack(folder, "3d")


def read_stack(folder: Path, kind: str) -> Clip:
    """The whole image ("2d", one frame) or volume ("3d", a frame a slice) with the ids as they are stored.

    Grey values are stretched so that their 0.5 and 99.5 percentiles become 0 and 255.
    """
    grey = _pages(locate(f"img{kind}.tif", folder)).astype(np.float32)
    ids = _pages(locate(f"mask{kind}.tif", folder))
    if ids.max() > 255:
        raise ValueError(f"{folder / f'mask{kind}.tif'} holds the label {ids.max()}: a clip takes ids up to 255")
    low, high = np.percentile(grey, (0.5, 99.5))
    stretched = np.clip((grey - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    images = np.repeat(stretched[..., None], 3, axis=3)
    return Clip(f"nuclei/{kind}", images, ids.astype(np.uint8), _nuclei(ids))


def crops(clip: Clip, side: int) -> Iterator[Clip]:
    """Cut a clip into squares of `side` pixels that do not overlap, leaving out what does not fill one."""
    _, rows, columns = clip.labels.shape
    for top in range(0, rows - side + 1, side):
        for left in range(0, columns - side + 1, side):
            part = np.s_[:, top : top + side, left : left + side]
            labels = clip.labels[part]
            yield Clip(f"{clip.name}/{top}-{left}", clip.images[part], labels, _nuclei(labels))


def _nuclei(labels: NDArray[np.generic]) -> dict[int, str]:
    return {int(label): "nucleus" for label in np.unique(labels) if label}


def _pages(path: Path) -> NDArray[np.uint16]:
    with Image.open(path) as pages:
        return np.stack([np.asarray(page, np.uint16) for page in ImageSequence.Iterator(pages)])
