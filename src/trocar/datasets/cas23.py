"""CAS2023: time-of-flight MR angiography with the cerebral arteries, 100 labelled cases.

The layout is said to be nnU-Net's; which names the owners give their cases could not be verified, so any are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import volume_case

CLASSES = {1: "cerebral artery"}


def cases(root: Path, split: str) -> Iterator[Case]:
    images, labels = root / "imagesTr", root / "labelsTr"
    for name in in_order(names_between(images, "", "_0000.nii.gz") + names_between(labels, "", ".nii.gz")):
        yield volume_case(name, images / f"{name}_0000.nii.gz", labels / f"{name}.nii.gz", CLASSES)


def write_fixture(root: Path) -> None:
    for number in range(2):
        name = f"CAS_{number:03d}"
        save_made_up(root / f"imagesTr/{name}_0000.nii.gz", root / f"labelsTr/{name}.nii.gz", (1,), number)


DATASET = Dataset(
    name="cas23",
    title="CAS2023",
    frames="volume",
    ids="classes",
    licence="stated by the challenge on registration",
    obtain="https://codalab.lisn.upsaclay.fr/competitions/9804",
    citation="Chen, Cerebral artery segmentation challenge, MICCAI 2023",
    classes=CLASSES,
    splits={"train": Split("all that have labels; MedSAM-2 tests on them", 100, reported=True)},
    layout="imagesTr/NAME_0000.nii.gz\nlabelsTr/NAME.nii.gz",
    cases=cases,
    write_fixture=write_fixture,
)
