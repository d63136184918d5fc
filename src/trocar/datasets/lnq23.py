"""LNQ2023: CT with lymph nodes of the mediastinum, the 393 training cases of the challenge (NRRD from 3D Slicer).

Only some of the nodes of a case are labelled, so what is found beside them may be right. Some label volumes are smaller
than their CT and are placed by their headers. Validation and test came out later, as DICOM, and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save_volume
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import volume_case

CLASSES = {1: "mediastinal lymph node"}


def cases(root: Path, split: str) -> Iterator[Case]:
    there = root / "train"
    for name in in_order(names_between(there, "", "-ct.nrrd") + names_between(there, "", "-seg.nrrd")):
        # Slicer may number segments; all of them are nodes.
        yield volume_case(name, there / f"{name}-ct.nrrd", there / f"{name}-seg.nrrd", CLASSES, lambda label: (1,))


def write_fixture(root: Path) -> None:
    for number in (5, 394):
        images, labels = made_up(3, (1, 2), (20, 28), number)
        save_volume(root / f"train/lnq2023-train-{number:04d}-ct.nrrd", images[..., 0].astype("int16"))
        save_volume(root / f"train/lnq2023-train-{number:04d}-seg.nrrd", labels)


DATASET = Dataset(
    name="lnq23",
    title="LNQ2023",
    frames="volume",
    ids="classes",
    licence="CC BY 4.0 (the release on The Cancer Imaging Archive)",
    obtain="https://lnq2023.grand-challenge.org/data/",
    citation="Idris et al., Mediastinal lymph node quantification (LNQ): segmentation of heterogeneous CT data, The "
    "Cancer Imaging Archive, 2024, doi:10.7937/QVAZ-JA09",
    classes=CLASSES,
    splits={
        "train": Split("the challenge's training cases, labelled in part; MedSAM-2 tests on them", 393, reported=True)
    },
    layout="train/lnq2023-train-NNNN-ct.nrrd\ntrain/lnq2023-train-NNNN-seg.nrrd",
    cases=cases,
    write_fixture=write_fixture,
)
