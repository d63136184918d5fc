"""BKAI-IGH NeoPolyp (small): colonoscopy frames with polyps told apart by whether they will become cancer.

Masks are JPEG pictures, so every pixel goes to the nearest of black, red and green. The 200 frames under test/ have
no public truth and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import coloured, made_up, save
from trocar.datasets.palette import Colour, Palette
from trocar.datasets.picture_cases import case_each, matched

CLASSES = {1: "neoplastic polyp", 2: "non-neoplastic polyp"}
COLOURS: dict[int, Colour] = {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 255, 0)}
PALETTE = Palette({colour: number for number, colour in COLOURS.items()}, nearest=True)


def cases(root: Path, split: str) -> Iterator[Case]:
    yield from case_each(
        *matched(root / "train" / "train" / "*.jpeg", root / "train_gt" / "train_gt" / "*.jpeg"), PALETTE.read, CLASSES
    )


def write_fixture(root: Path) -> None:
    images, labels = made_up(2, (1, 2))
    for name, image, truth in zip(("0a5f3601", "7fda8019"), images, labels, strict=True):
        save(root / "train" / "train" / f"{name}.jpeg", image)
        save(root / "train_gt" / "train_gt" / f"{name}.jpeg", coloured(truth, COLOURS))


DATASET = Dataset(
    name="bkai-igh",
    title="BKAI-IGH NeoPolyp (small)",
    frames="picture",
    ids="classes",
    licence="the rules of its competition: research and education",
    obtain="https://www.kaggle.com/competitions/bkai-igh-neopolyp/data (an account, and consent to the rules)",
    citation="Lan et al., NeoUNet: towards accurate colon polyp segmentation and neoplasm detection, ISVC 2021",
    classes=CLASSES,
    splits={"train": Split("all frames with a public truth", 1000)},
    layout="train/train/HASH.jpeg\ntrain_gt/train_gt/HASH.jpeg  (black, red: neoplastic, green: not)",
    cases=cases,
    write_fixture=write_fixture,
)
