"""crossMoDA 2023: contrast-enhanced T1 MR with vestibular schwannoma and cochleas, 227 labelled cases of 3 sites.

The T2 images of the target domain, validation and test have no public labels and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import volume_case

CLASSES = {1: "intra-meatal tumor", 2: "extra-meatal tumor", 3: "cochlea"}
FOLDER = "crossmoda23_training/TrainingSource"


def cases(root: Path, split: str) -> Iterator[Case]:
    there = root / FOLDER
    for name in in_order(names_between(there, "", "_ceT1.nii.gz") + names_between(there, "", "_Label.nii.gz")):
        yield volume_case(name, there / f"{name}_ceT1.nii.gz", there / f"{name}_Label.nii.gz", CLASSES)


def write_fixture(root: Path) -> None:
    for seed, name in enumerate(("etz_1", "ldn_1", "ukm_1")):
        stem = f"{FOLDER}/crossmoda2023_{name}"
        save_made_up(root / f"{stem}_ceT1.nii.gz", root / f"{stem}_Label.nii.gz", tuple(CLASSES), seed)


DATASET = Dataset(
    name="crossmoda23",
    title="crossMoDA 2023 (source domain)",
    frames="volume",
    ids="classes",
    licence="stated on Synapse on registration; the release of 2022 is CC BY-NC-SA 4.0",
    obtain="https://www.synapse.org/#!Synapse:syn51236108/files/",
    citation="Dorent et al., CrossMoDA 2021 challenge: benchmark of cross-modality domain adaptation techniques for "
    "vestibular schwannoma and cochlea segmentation, Medical Image Analysis 83, 2023",
    classes=CLASSES,
    splits={"train": Split("the labelled source domain; MedSAM-2 tests on it", 227, reported=True)},
    layout=f"{FOLDER}/crossmoda2023_SITE_N_ceT1.nii.gz\n{FOLDER}/crossmoda2023_SITE_N_Label.nii.gz",
    cases=cases,
    write_fixture=write_fixture,
)
