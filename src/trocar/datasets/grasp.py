"""GraSP: robot-assisted radical prostatectomies of 13 patients, instances of seven kinds of instrument.

A case is an operation, and its frames are the annotated ones (one every 35 s or so), as SA-SV counts them; those in
between, millions in GraSP_30fps, are not listed. Instances come from the run-length codes of the short-term documents;
the `segmentations` folder is not needed. The documents say which files the frames are, which differs between the 30 fps
and the 1 fps release, so either can be read. fold1 and fold2 are the two halves of train, for cross-validation. The
repository gives the licence of its code (MIT) and none for the data, and no checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath

from trocar.datasets.case import Case
from trocar.datasets.coco_cases import CocoPicture, coco_case, read_coco_pictures, write_coco_fixture
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save

CLASSES = {
    1: "Bipolar Forceps",
    2: "Prograsp Forceps",
    3: "Large Needle Driver",
    4: "Monopolar Curved Scissors",
    5: "Suction Instrument",
    6: "Clip Applier",
    7: "Laparoscopic Grasper",
}
TRAIN = ("CASE001", "CASE002", "CASE003", "CASE004", "CASE007", "CASE014", "CASE015", "CASE021")
TEST = ("CASE041", "CASE047", "CASE050", "CASE051", "CASE053")
SPLITS = {
    "train": Split("official: 8 operations, 2324 annotated frames", 8, TRAIN),
    "test": Split("official: 5 operations, 1125 annotated frames", 5, TEST, reported=True),
    "fold1": Split("official: half of the training operations"),
    "fold2": Split("official: the other half"),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    pictures = read_coco_pictures(root / "annotations" / f"grasp_short-term_{split}.json")
    for operation, own in groupby(pictures, key=_operation):
        yield coco_case(operation, list(own), root / "frames", operation)


def _operation(picture: CocoPicture) -> str:
    return PurePosixPath(picture.file).parts[0]


def write_fixture(root: Path) -> None:
    labels = {}
    for place, operation in enumerate((*TRAIN, *TEST)):
        images, truths = made_up(2, (1, 4, 5), seed=place)
        for frame, image, truth in zip((68, 1642), images, truths, strict=True):
            labels[f"{operation}/{frame:09d}.jpg"] = truth
            save(root / "frames" / operation / f"{frame:09d}.jpg", image)
    # Which operations make up which fold is made up here; the documents say it.
    for split, operations in {"train": TRAIN, "test": TEST, "fold1": TRAIN[::2], "fold2": TRAIN[1::2]}.items():
        own = {name: truth for name, truth in labels.items() if name.startswith(operations)}
        write_coco_fixture(root / "annotations" / f"grasp_short-term_{split}.json", own, CLASSES)


DATASET = Dataset(
    name="grasp",
    title="GraSP",
    frames="video",
    ids="instances",
    licence="not stated for the data (its code: MIT); ask the owners",
    obtain="https://github.com/BCV-Uniandes/GraSP: GraSP_30fps or GraSP_1fps, with all archives in it unpacked",
    citation="Ayobi et al., Pixel-wise recognition for holistic surgical scene understanding, arXiv 2401.11174, 2024",
    classes=CLASSES,
    splits=SPLITS,
    layout="frames/CASENNN/FRAME.jpg\nannotations/grasp_short-term_{train,test,fold1,fold2}.json",
    cases=cases,
    write_fixture=write_fixture,
    overlapping_splits=True,
)
