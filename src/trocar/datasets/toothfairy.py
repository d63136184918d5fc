"""ToothFairy (2023): cone-beam CT of jaws with the inferior alveolar nerve, the cases that are labelled densely.

The other 290 cases ("synthetic" in splits.json) have only a few labelled planes and are not read. The files say no
spacing; the first axis of an array is taken for the slices.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import in_order
from trocar.datasets.volume_cases import volume_case

CLASSES = {1: "inferior alveolar nerve"}
SPLITS = {
    "train": Split("the challenge's (splits.json)", 130),
    "val": Split("the challenge's (splits.json)", 8),
    "test": Split("the challenge's (splits.json)", 15, reported=True),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    for name in in_order(_splits(root / "splits.json")[split]):
        folder = root / "Dataset" / name
        yield volume_case(name, folder / "data.npy", folder / "gt_alpha.npy", CLASSES)


def _splits(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: is the set complete?")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {split: [str(name) for name in found[split]] for split in SPLITS}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not list {', '.join(SPLITS)}: it is damaged; fetch it again") from error


def write_fixture(root: Path) -> None:
    names = {"train": ["P1", "P2"], "val": ["P3"], "test": ["P10"], "synthetic": ["P548"]}
    for split in SPLITS:
        for seed, name in enumerate(names[split]):
            folder = root / "Dataset" / name
            save_made_up(folder / "data.npy", folder / "gt_alpha.npy", (1,), seed)
    (root / "splits.json").write_text(json.dumps(names), encoding="utf-8")


DATASET = Dataset(
    name="toothfairy",
    title="ToothFairy",
    frames="volume",
    ids="classes",
    licence="stated by the owners on registration",
    obtain="https://ditto.ing.unimore.it/toothfairy",
    citation="Cipriano et al., Deep segmentation of the mandibular canal: a new 3D annotated dataset of CBCT volumes, "
    "IEEE Access 10, 2022",
    classes=CLASSES,
    splits=SPLITS,
    layout="splits.json\nDataset/PN/data.npy\nDataset/PN/gt_alpha.npy",
    cases=cases,
    write_fixture=write_fixture,
)
