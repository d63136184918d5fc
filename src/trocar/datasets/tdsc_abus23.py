"""TDSC-ABUS 2023: three-dimensional breast ultrasound with a tumour each, 200 cases, as the challenge distributes them.

The training images lie in two folders below DATA, those of the other parts in DATA itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import volume_case

CLASSES = {1: "breast tumor"}
FOLDERS = {"train": "Train", "validation": "Validation", "test": "Test"}
SPLITS = {
    "train": Split("the challenge's", 100),
    "validation": Split("the challenge's", 30),
    "test": Split("the challenge's", 70, reported=True),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    data, masks = root / FOLDERS[split] / "DATA", root / FOLDERS[split] / "MASK"
    images = {path.stem.removeprefix("DATA_"): path for path in data.rglob("DATA_*.nrrd")}
    for name in in_order([*images, *names_between(masks, "MASK_", ".nrrd")]):
        image = images.get(name, data / f"DATA_{name}.nrrd")
        yield volume_case(name, image, masks / f"MASK_{name}.nrrd", CLASSES)


def write_fixture(root: Path) -> None:
    for seed, (image, labels) in enumerate(
        (
            ("Train/DATA/DATA00_49/DATA_000", "Train/MASK/MASK_000"),
            ("Train/DATA/DATA50_99/DATA_050", "Train/MASK/MASK_050"),
            ("Validation/DATA/DATA_100", "Validation/MASK/MASK_100"),
            ("Test/DATA/DATA_130", "Test/MASK/MASK_130"),
        )
    ):
        save_made_up(root / f"{image}.nrrd", root / f"{labels}.nrrd", (1,), seed)


DATASET = Dataset(
    name="tdsc-abus23",
    title="TDSC-ABUS 2023",
    frames="volume",
    ids="classes",
    licence="stated by the challenge on registration",
    obtain="https://tdsc-abus2023.grand-challenge.org/Dataset/",
    citation="Tumor detection, segmentation and classification challenge on automated 3D breast ultrasound, MICCAI "
    "2023",
    classes=CLASSES,
    splits=SPLITS,
    layout="{Train,Validation,Test}/DATA/[FOLDER/]DATA_NNN.nrrd\n{Train,Validation,Test}/MASK/MASK_NNN.nrrd",
    cases=cases,
    write_fixture=write_fixture,
)
