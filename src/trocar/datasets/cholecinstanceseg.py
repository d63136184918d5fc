"""CholecInstanceSeg: instruments in cholecystectomies, instance by instance, in frames of three older sets.

Annotations and pictures are two downloads, which the owners' script merges into the layout read here: a folder a
sequence, named by video and source (seg8k, t50_full, t50_sparse, t80_sparse). t50_full is 1 frame a second, the sparse
ones 1 in 30 s. Of the 95 sequences some share a video (85), never across splits. An instance is a class and a number
(`group_id`); all its polygons are filled, outlines included, as by the owners' converter to maps, which however keeps
only the last polygon of an instance. That a number stays with an instrument over time is said nowhere, so ids count as
instances of a frame. Many files leave out the picture's size.
SA-SV's CIS-Train and CIS-Test have as many sequences as t50_full has in train and in test; it does not name them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.found_objects import FoundObjects
from trocar.datasets.picture_cases import Size, case_of_pictures, pairs, pictures
from trocar.formats.coco import load_document, naming_fault

CLASSES = {1: "grasper", 2: "hook", 3: "irrigator", 4: "clipper", 5: "bipolar", 6: "scissors", 7: "snare"}
MOST = 30
"""How many numbers each class has room for: instance `number` of class c has the object id (c - 1) * MOST + number."""

WHAT = "file of CholecInstanceSeg"


def _sequences(**videos: str) -> tuple[str, ...]:
    return tuple(f"VID{video}_{source}" for source, listed in videos.items() for video in listed.split())


_TRAIN_VIDEOS = "01 12 18 25 26 27 35 43 48 52"
FULL_TRAIN, FULL_TEST = _sequences(t50_full=_TRAIN_VIDEOS), _sequences(t50_full="14 15 22 29")
TRAIN = FULL_TRAIN + _sequences(
    seg8k=_TRAIN_VIDEOS,
    t50_sparse="02 04 05 06 08 10 13 31 32 36 40 42 47 49 50 51 56 57 60 62 65 66 68 70 73 74 75 78 79 80 92 96 103 "
    "110 111",
)
VAL = _sequences(seg8k="17 28 37", t50_full="23", t80_sparse="03 11 19 30 34 39 44 46 54 59 63 67 71 76")
TEST = FULL_TEST + _sequences(seg8k="09 20 24 55", t80_sparse="07 16 21 33 38 41 45 53 58 61 64 69 72 77")
SPLITS = {
    "train": Split("official", 55, TRAIN),
    "val": Split("official", 18, VAL),
    "test": Split("official", 22, TEST, reported=True),
    "sa_sv_train": Split("SA-SV's CIS-Train as far as its counts tell: train at 1 frame a second", 10, FULL_TRAIN),
    "sa_sv_test": Split(
        "SA-SV's CIS-Test as far as its counts tell: test at 1 frame a second", 4, FULL_TEST, reported=True
    ),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    for name in sorted(SPLITS[split].names):
        folder = root / split.removeprefix("sa_sv_") / name
        if folder.is_dir():
            yield _case(name, *pairs(pictures(folder / "img_dir"), pictures(folder / "ann_dir", "*.json")))


def _case(name: str, images: list[Path], documents: Sequence[Path]) -> Case:
    def truth(frame: int, size: Size) -> FrameTruth:
        masks: dict[int, NDArray[np.uint8]] = {}
        document = _load(documents[frame])
        with naming_fault(documents[frame], WHAT):
            said = (document.get("imageHeight"), document.get("imageWidth"))
            if None not in said and said != size:
                raise ValueError(f"it is for {said[1]} x {said[0]} pixels, its picture has {size[1]} x {size[0]}")
            for shape in document["shapes"]:
                if shape["shape_type"] != "polygon":
                    raise ValueError(f"it has a {shape['shape_type']}: only polygons are expected")
                mask = masks.setdefault(_object_id(shape), np.zeros(size, np.uint8))
                cv2.fillPoly(mask, [np.array(shape["points"], np.float64).astype(np.int32)], [1])
        return FrameTruth({number: mask.astype(np.bool_) for number, mask in masks.items()})

    def look() -> dict[int, str]:
        found: dict[int, str] = {}
        for path in documents:
            try:
                with naming_fault(path, WHAT):
                    found |= {_object_id(shape): shape["label"] for shape in _load(path)["shapes"]}
            except (OSError, ValueError):
                continue
        return dict(sorted(found.items()))

    return case_of_pictures(name, images, truth, FoundObjects(look), None, name.partition("_")[0])


def _load(path: Path) -> dict[str, Any]:
    return load_document(path, f"a {WHAT}", ("shapes",))


def _object_id(shape: dict[str, Any]) -> int:
    label, number = shape["label"], shape["group_id"]
    class_id = next((one for one, name in CLASSES.items() if name == label), None)
    if class_id is None or not isinstance(number, int) or not 1 <= number <= MOST:
        raise ValueError(f"{label!r} number {number} is none of {', '.join(CLASSES.values())} from 1 to {MOST}")
    return (class_id - 1) * MOST + number


def write_fixture(root: Path) -> None:
    sequences = [(split, name) for split in ("train", "val", "test") for name in SPLITS[split].names]
    for place, (split, name) in enumerate(sequences):
        images, labels = made_up(2, (1, 2), (24, 32), seed=place)
        video, source = name.split("_", 1)
        for number, (image, truth) in enumerate(zip(images, labels, strict=True)):
            stem = f"seg8k_video{video[3:]}_{number:06d}" if source == "seg8k" else f"{source[:3]}_{video}_{number:06d}"
            save(root / split / name / "img_dir" / f"{stem}.png", image)
            shapes = [_box(truth == 1, "grasper", 1), _box(truth == 2, "hook" if place % 2 else "grasper", 2)]
            path = root / split / name / "ann_dir" / f"{stem}.json"
            path.parent.mkdir(exist_ok=True)
            sizes = {"imageHeight": None, "imageWidth": None} if number else {"imageHeight": 24, "imageWidth": 32}
            path.write_text(json.dumps({"shapes": shapes, "imagePath": f"img_dir/{stem}.png"} | sizes))


def _box(mask: NDArray[np.bool_], label: str, number: int) -> dict[str, Any]:
    rows, columns = np.nonzero(mask)
    left, right, top, bottom = (float(x) for x in (columns.min(), columns.max(), rows.min(), rows.max()))
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "points": points, "group_id": number, "shape_type": "polygon", "flags": None}


DATASET = Dataset(
    name="cholecinstanceseg",
    title="CholecInstanceSeg",
    frames="video",
    ids="instances",
    licence="as the Synapse page says; the pictures come from Cholec80, CholecT50 and CholecSeg8k (CC BY-NC-SA 4.0)",
    obtain="https://www.synapse.org/Synapse:syn60239970 for the annotations and "
    "https://www.synapse.org/Synapse:syn64826192 for the pictures; merge both into one folder",
    citation="Alabi et al., CholecInstanceSeg: a tool instance segmentation dataset for laparoscopic surgery, "
    "Scientific Data 12, 2025",
    classes=CLASSES,
    splits=SPLITS,
    layout="{train,val,test}/VIDNN_SOURCE/img_dir/NAME.png\n{train,val,test}/VIDNN_SOURCE/ann_dir/NAME.json",
    cases=cases,
    write_fixture=write_fixture,
    overlapping_splits=True,
)
