"""FLARE22: abdominal CT with 13 organs, the 50 labelled cases of the challenge of 2022, as Zenodo's copy unpacks.

The split is that of the SAM 2 medical benchmark's fine-tuning (its pre_CT_MR.py): the first 40 names and the last 10.
It leaves the duodenum out of what it trains on and scores.
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
    1: "liver",
    2: "right kidney",
    3: "spleen",
    4: "pancreas",
    5: "aorta",
    6: "inferior vena cava",
    7: "right adrenal gland",
    8: "left adrenal gland",
    9: "gallbladder",
    10: "esophagus",
    11: "stomach",
    12: "duodenum",
    13: "left kidney",
}
NAMES = tuple(f"FLARE22_Tr_{number:04d}" for number in range(1, 51))
PARTS = {"train": NAMES[:40], "test": NAMES[40:]}
SPLITS = {
    "train": Split("the benchmark's: the first 40 names", 40),
    "test": Split("the benchmark's: the last 10 names", 10, PARTS["test"], reported=True),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    there = names_between(root / "images", "", "_0000.nii.gz") + names_between(root / "labels", "", ".nii.gz")
    for name in in_order(set(PARTS[split]) & set(there)):
        yield volume_case(name, root / f"images/{name}_0000.nii.gz", root / f"labels/{name}.nii.gz", CLASSES)


def write_fixture(root: Path) -> None:
    for seed, name in enumerate((*NAMES[:2], *NAMES[40:])):
        save_made_up(root / f"images/{name}_0000.nii.gz", root / f"labels/{name}.nii.gz", tuple(CLASSES), seed)


DATASET = Dataset(
    name="flare22",
    title="FLARE22 (labelled cases)",
    frames="volume",
    ids="classes",
    licence="the challenge's rules; no licence is stated",
    obtain="https://zenodo.org/records/7860267",
    citation="Ma et al., Unleashing the strengths of unlabeled data in pan-cancer abdominal organ quantification: the "
    "FLARE22 challenge, arXiv:2308.05862",
    classes=CLASSES,
    splits=SPLITS,
    layout="images/FLARE22_Tr_NNNN_0000.nii.gz\nlabels/FLARE22_Tr_NNNN.nii.gz",
    cases=cases,
    write_fixture=write_fixture,
)
