"""ATLAS 2023: contrast-enhanced MR of livers with tumours, 60 labelled cases (release 1.0.1 as its readers read it)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import volume_case

CLASSES = {1: "liver", 2: "liver tumor"}
FOLDER = "atlas-train-dataset-1.0.1/train"


def cases(root: Path, split: str) -> Iterator[Case]:
    images, labels = root / FOLDER / "imagesTr", root / FOLDER / "labelsTr"
    for name in in_order(names_between(images, "im", ".nii.gz") + names_between(labels, "lb", ".nii.gz")):
        yield volume_case(f"im{name}", images / f"im{name}.nii.gz", labels / f"lb{name}.nii.gz", CLASSES)


def write_fixture(root: Path) -> None:
    for number in range(3):
        image, labels = root / FOLDER / f"imagesTr/im{number}.nii.gz", root / FOLDER / f"labelsTr/lb{number}.nii.gz"
        save_made_up(image, labels, tuple(CLASSES), number)


DATASET = Dataset(
    name="atlas23",
    title="ATLAS 2023 (liver)",
    frames="volume",
    ids="classes",
    licence="stated by the challenge on registration",
    obtain="https://atlas-challenge.u-bourgogne.fr/dataset",
    citation="Quinton et al., A tumour and liver automatic segmentation (ATLAS) dataset on contrast-enhanced magnetic "
    "resonance imaging for hepatocellular carcinoma, Data 8(5), 2023",
    classes=CLASSES,
    splits={
        "train": Split(
            "all that have labels; MedSAM-2 tests on them (the 30 test cases are kept back)", 60, reported=True
        )
    },
    layout=f"{FOLDER}/imagesTr/imN.nii.gz\n{FOLDER}/labelsTr/lbN.nii.gz",
    cases=cases,
    write_fixture=write_fixture,
)
