"""REFUGE: fundus photographs with optic disc and cup, three parts of 400, as the archives unpack.

The label pictures are grey: 0 cup, 128 the rest of the disc, 255 all else. The cup is part of the disc, so the masks
overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.listing import in_order
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import picture_case

CLASSES = {1: "optic disc", 2: "optic cup"}
SPLITS = {
    "train": Split("the challenge's", 400),
    "validation": Split("the challenge's", 400),
    "test": Split("the challenge's", 400, reported=True),
}
FOLDERS = {
    "train": ("Training400", "Annotation-Training400/Disc_Cup_Masks"),
    "validation": ("REFUGE-Validation400", "REFUGE-Validation400-GT/Disc_Cup_Masks"),
    "test": ("Test400", "REFUGE-Test-GT/Disc_Cup_Masks"),
}
PALETTE = Palette({255: 0, 128: 1, 0: 2})


def cases(root: Path, split: str) -> Iterator[Case]:
    folders = [root / folder for folder in FOLDERS[split]]
    images, labels = (
        {path.stem: path for path in folder.rglob(f"[gnVT][0-9]*{ending}")}
        for folder, ending in zip(folders, (".jpg", ".bmp"), strict=True)
    )
    for name in in_order([*images, *labels]):
        image, label = images.get(name, folders[0] / f"{name}.jpg"), labels.get(name, folders[1] / f"{name}.bmp")
        yield picture_case(name, [image], [label], disc_and_cup, CLASSES)


def disc_and_cup(path: Path) -> FrameTruth:
    """The truth in a label picture, the cup as a part of the disc."""
    rim_and_cup = PALETTE.read(path).masks
    if 2 not in rim_and_cup:
        return FrameTruth(rim_and_cup)
    cup = rim_and_cup[2]
    return FrameTruth({1: cup | rim_and_cup.get(1, np.zeros_like(cup)), 2: cup})


def write_fixture(root: Path) -> None:
    for seed, (image, label) in enumerate(
        (
            ("Training400/Glaucoma/g0001", "Annotation-Training400/Disc_Cup_Masks/Glaucoma/g0001"),
            ("Training400/Non-Glaucoma/n0001", "Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma/n0001"),
            ("REFUGE-Validation400/V0001", "REFUGE-Validation400-GT/Disc_Cup_Masks/V0001"),
            ("Test400/T0001", "REFUGE-Test-GT/Disc_Cup_Masks/N/T0001"),
            ("Test400/T0010", "REFUGE-Test-GT/Disc_Cup_Masks/G/T0010"),
        )
    ):
        images, labels = made_up(1, (1, 2), seed=seed)
        save(root / f"{image}.jpg", images[0])
        save(root / f"{label}.bmp", np.array([255, 128, 0], np.uint8)[labels[0]])


DATASET = Dataset(
    name="refuge",
    title="REFUGE",
    frames="picture",
    ids="classes",
    licence="stated by the challenge on registration",
    obtain="https://refuge.grand-challenge.org/",
    citation="Orlando et al., REFUGE challenge: a unified framework for evaluating automated methods for glaucoma "
    "assessment from fundus photographs, Medical Image Analysis 59, 2020",
    classes=CLASSES,
    splits=SPLITS,
    layout="Training400/{Glaucoma,Non-Glaucoma}/[gn]NNNN.jpg\n"
    "Annotation-Training400/Disc_Cup_Masks/{Glaucoma,Non-Glaucoma}/[gn]NNNN.bmp\n"
    "REFUGE-Validation400/VNNNN.jpg\nREFUGE-Validation400-GT/Disc_Cup_Masks/VNNNN.bmp\n"
    "Test400/TNNNN.jpg\nREFUGE-Test-GT/Disc_Cup_Masks/{G,N}/TNNNN.bmp",
    cases=cases,
    write_fixture=write_fixture,
)
