"""ISIC 2018, task 1: dermoscopic photographs with the primary lesion, as the challenge's archives unpack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import picture_case

CLASSES = {1: "skin lesion"}
SPLITS = {
    "train": Split("the challenge's", 2594),
    "validation": Split("the challenge's", 100),
    "test": Split("the challenge's", 1000, reported=True),
}
PARTS = {"train": "Training", "validation": "Validation", "test": "Test"}


def folders(root: Path, split: str) -> tuple[Path, Path]:
    """Where the photographs and the masks of a part lie."""
    part = PARTS[split]
    return root / f"ISIC2018_Task1-2_{part}_Input", root / f"ISIC2018_Task1_{part}_GroundTruth"


def cases(root: Path, split: str) -> Iterator[Case]:
    images, masks = folders(root, split)
    there = names_between(images, "ISIC_", ".jpg") + names_between(masks, "ISIC_", "_segmentation.png")
    for number in in_order(there):
        name = f"ISIC_{number}"
        yield picture_case(name, [images / f"{name}.jpg"], [masks / f"{name}_segmentation.png"], read_binary, CLASSES)


def write_fixture(root: Path) -> None:
    for seed, split in enumerate(SPLITS):
        images, masks = folders(root, split)
        for number in range(2):
            name = f"ISIC_{seed:03d}{number:04d}"
            pixels, labels = made_up(1, (1,), seed=seed * 2 + number)
            save(images / f"{name}.jpg", pixels[0])
            save(masks / f"{name}_segmentation.png", labels[0] * np.uint8(255))


DATASET = Dataset(
    name="isic18",
    title="ISIC 2018, task 1",
    frames="picture",
    ids="classes",
    licence="stated beside each archive on the challenge's page",
    obtain="https://challenge.isic-archive.com/data/#2018",
    citation="Codella et al., Skin lesion analysis toward melanoma detection 2018: a challenge hosted by the "
    "International Skin Imaging Collaboration (ISIC), arXiv:1902.03368",
    classes=CLASSES,
    splits=SPLITS,
    layout="ISIC2018_Task1-2_{Training,Validation,Test}_Input/ISIC_NNNNNNN.jpg\n"
    "ISIC2018_Task1_{Training,Validation,Test}_GroundTruth/ISIC_NNNNNNN_segmentation.png",
    cases=cases,
    write_fixture=write_fixture,
)
