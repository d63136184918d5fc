"""BTCV: abdominal CT with 13 organs, the 30 training cases of "Beyond the Cranial Vault" (RawData.zip of Synapse).

The split is TransUNet's (lists_Synapse), which most tables use. MedSAM-2 publishes a converted copy in two folders and
no list of names, so its split is not known here; `all` is for such protocols.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import volume_case

CLASSES = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "esophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior vena cava",
    10: "portal vein and splenic vein",
    11: "pancreas",
    12: "right adrenal gland",
    13: "left adrenal gland",
}
NAMES = tuple(f"{number:04d}" for number in (*range(1, 11), *range(21, 41)))
TEST = tuple(f"{number:04d}" for number in (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38))
PARTS = {"train": tuple(name for name in NAMES if name not in TEST), "test": TEST, "all": NAMES}
SPLITS = {
    "train": Split("TransUNet's 18", 18),
    "test": Split("TransUNet's 12", 12, TEST, reported=True),
    "all": Split("all that have labels", 30, reported=True),
}
FOLDER = "RawData/Training"


def cases(root: Path, split: str) -> Iterator[Case]:
    images, labels = root / FOLDER / "img", root / FOLDER / "label"
    there = names_between(images, "img", ".nii.gz") + names_between(labels, "label", ".nii.gz")
    for name in in_order(set(PARTS[split]) & set(there)):
        yield volume_case(name, images / f"img{name}.nii.gz", labels / f"label{name}.nii.gz", CLASSES)


def write_fixture(root: Path) -> None:
    for seed, name in enumerate((*PARTS["train"][:2], *TEST)):
        image, labels = root / FOLDER / f"img/img{name}.nii.gz", root / FOLDER / f"label/label{name}.nii.gz"
        save_made_up(image, labels, tuple(CLASSES), seed)


DATASET = Dataset(
    name="btcv",
    title="BTCV (abdomen)",
    frames="volume",
    ids="classes",
    licence="the terms of use that Synapse shows on registration",
    obtain="https://www.synapse.org/#!Synapse:syn3193805/wiki/217789",
    citation="Landman et al., MICCAI multi-atlas labeling beyond the cranial vault: workshop and challenge, 2015",
    classes=CLASSES,
    splits=SPLITS,
    layout="RawData/Training/img/imgNNNN.nii.gz\nRawData/Training/label/labelNNNN.nii.gz",
    cases=cases,
    write_fixture=write_fixture,
    overlapping_splits=True,
)
