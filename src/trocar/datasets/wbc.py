"""WBC: white blood cells of two sources, a picture each with nucleus and cytoplasm.

The label pictures are grey: 0 ground and red cells, 128 cytoplasm, 255 nucleus. The targets are the nucleus and the
whole cell, which overlap. Besides the owners' names (NNN.bmp and NNN.png) those of a common copy are read
(NNN.image.* and NNN.label.png).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import picture_case

CLASSES = {1: "nucleus", 2: "whole cell"}
SPLITS = {
    "dataset1": Split("Jiangxi Tecom's pictures, 120 x 120; the one of the One-Prompt protocol", 300, reported=True),
    "dataset2": Split("CellaVision's pictures, 300 x 300", 100, reported=True),
}
FOLDERS = {"dataset1": "Dataset 1", "dataset2": "Dataset 2"}
PALETTE = Palette({0: 0, 128: 2, 255: 1})


def cases(root: Path, split: str) -> Iterator[Case]:
    folder = root / FOLDERS[split]
    return cells(folder if folder.is_dir() else root / split, split)


def cells(folder: Path, split: str) -> Iterator[Case]:
    """The cases in one of the two folders, named SPLIT/NNN."""
    for number, image, label in _files(folder):
        yield picture_case(f"{split}/{number}", [image], [label], nucleus_and_cell, CLASSES)


def _files(folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """(number, picture, label picture) of each cell."""
    copied = {path.name.partition(".")[0]: path for path in folder.glob("*.image.*")}
    if copied or any(folder.glob("*.label.png")):
        for number in in_order([*copied, *names_between(folder, "", ".label.png")]):
            yield number, copied.get(number, folder / f"{number}.image.png"), folder / f"{number}.label.png"
    else:
        for number in in_order(names_between(folder, "", ".bmp") + names_between(folder, "", ".png")):
            yield number, folder / f"{number}.bmp", folder / f"{number}.png"


def nucleus_and_cell(path: Path) -> FrameTruth:
    """The truth in a label picture, the nucleus as a part of the cell."""
    parts = PALETTE.read(path).masks
    cell = np.logical_or.reduce(list(parts.values())) if parts else None
    return FrameTruth({number: mask for number, mask in ((1, parts.get(1)), (2, cell)) if mask is not None})


def write_fixture(root: Path) -> None:
    for seed, folder in enumerate(FOLDERS.values()):
        for number in (1, 2):
            images, labels = made_up(1, (1, 2), seed=seed * 2 + number)
            save(root / folder / f"{number:03d}.bmp", images[0])
            save(root / folder / f"{number:03d}.png", np.array([0, 255, 128], np.uint8)[labels[0]])


DATASET = Dataset(
    name="wbc",
    title="White blood cells",
    frames="picture",
    ids="classes",
    licence="GPL-3.0",
    obtain="https://github.com/zxaoyou/segmentation_WBC",
    citation="Zheng et al., Fast and robust segmentation of white blood cell images by self-supervised learning, "
    "Micron 107, 2018",
    classes=CLASSES,
    splits=SPLITS,
    layout="Dataset 1/NNN.bmp  Dataset 1/NNN.png\nDataset 2/NNN.bmp  Dataset 2/NNN.png",
    cases=cases,
    write_fixture=write_fixture,
)
