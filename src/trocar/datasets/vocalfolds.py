"""Vocal folds: in-vivo laryngeal surgery, 8 sequences of 2 patients, 536 frames with seven classes a pixel.

The number of a file is its time; frames were picked by hand, so neighbours lie 1 to 20 numbers apart. Each class
counts as one object, other tissue included; void pixels carry no truth and are ignored. The split is ours: patient 1
is held out, and nothing may be trained or chosen on it; train and tune are different sequences of patient 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import pairs, picture_case, pictures

CLASSES = {
    1: "vocal folds",
    2: "other tissue",
    3: "glottal space",
    4: "pathology",
    5: "surgical tool",
    6: "intubation",
}
SPLITS = {
    "train": Split("patient 2 without sequence 6", 3, ("patient2/seq5", "patient2/seq7", "patient2/seq8")),
    "tune": Split("patient 2, sequence 6: recipes are chosen on it", 1, ("patient2/seq6",)),
    "held_out": Split(
        "patient 1: scored once per released model",
        4,
        ("patient1/seq1", "patient1/seq2", "patient1/seq3", "patient1/seq4"),
        reported=True,
    ),
}
PALETTE = Palette({number: number for number in CLASSES}, void=(0,))


def cases(root: Path, split: str) -> Iterator[Case]:
    for sequence in SPLITS[split].names:
        images, labels = pairs(pictures(root / "images" / sequence, "*.jpg"), pictures(root / "labels" / sequence))
        yield picture_case(sequence, images, labels, PALETTE.read, CLASSES)


def write_fixture(root: Path) -> None:
    for place, sequence in enumerate(name for split in SPLITS.values() for name in split.names):
        images, labels = made_up(3, (1, 2, 3, 5), seed=place)
        for number, image, truth in zip((1, 2, 10), images, labels, strict=True):
            save(root / "images" / sequence / f"{number:04d}.jpg", image)
            save(root / "labels" / sequence / f"{number:04d}.png", truth)


DATASET = Dataset(
    name="vocalfolds",
    title="Vocal folds",
    frames="video",
    ids="classes",
    licence="CC BY 4.0",
    obtain="https://github.com/imesluh/vocalfolds",
    citation="Laves et al., A dataset of laryngeal endoscopic images with comparative study on convolution neural "
    "network based semantic segmentation, IJCARS 2019",
    classes=CLASSES,
    splits=SPLITS,
    layout="images/patientP/seqN/NNNN.jpg\nlabels/patientP/seqN/NNNN.png",
    cases=cases,
    write_fixture=write_fixture,
)
