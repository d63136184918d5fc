"""DSAD, the Dresden Surgical Anatomy Dataset: eleven abdominal structures in robotic rectal resections.

A case is what one surgery shows of one organ, frame by frame in the order of time though not evenly spaced. In such a
case only that organ is labelled: others that show are not background. The folder multilabel has further cases, with a
mask for each organ that shows. SA-SV makes 76 videos (4390 frames) and 4177 single frames of it and does not say which;
the split by surgery is that of Kolbinger et al. 2023.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case, FrameTruth, Mask
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import Size, case_of_pictures, matched, picture_case

CLASSES = {
    1: "abdominal wall",
    2: "colon",
    3: "inferior mesenteric artery",
    4: "intestinal veins",
    5: "liver",
    6: "pancreas",
    7: "small intestine",
    8: "spleen",
    9: "stomach",
    10: "ureter",
    11: "vesicular glands",
}
FOLDERS = {number: name.replace(" ", "_") for number, name in CLASSES.items()}
VAL, TEST = (3, 21, 26), (2, 7, 11, 13, 14, 18, 20, 32)
SURGERIES = {
    "train": tuple(number for number in range(1, 33) if number not in (*VAL, *TEST)),
    "val": VAL,
    "test": TEST,
}
SPLITS = {
    split: Split(
        f"{len(numbers)} surgeries of the split of Kolbinger et al. 2023: {', '.join(map(str, numbers))}",
        reported=split == "test",
    )
    for split, numbers in SURGERIES.items()
}


def cases(root: Path, split: str) -> Iterator[Case]:
    surgeries = [f"{number:02d}" for number in SURGERIES[split]]
    for organ, folder in FOLDERS.items():
        for surgery in surgeries:
            place = root / folder / surgery
            if place.is_dir():
                frames, truths = matched(place / "image*.png", place / "mask*.png")

                def read(path: Path, organ: int = organ) -> FrameTruth:
                    return read_binary(path, organ)

                name = f"{folder}/{surgery}"
                yield picture_case(name, frames, truths, read, {organ: CLASSES[organ]}, group=surgery)
    for surgery in surgeries:
        if (root / "multilabel" / surgery).is_dir():
            yield _all_organs(root / "multilabel" / surgery)


def _all_organs(folder: Path) -> Case:
    """A case with image01.png and mask01_liver.png, mask01_stomach.png, ... for each frame."""
    found = [re.fullmatch(r"image(\d+)|mask(\d+)_.*", path.stem) for path in folder.glob("*.png")]
    names = sorted({match[1] or match[2] for match in found if match}, key=int)
    images = [folder / f"image{name}.png" for name in names]

    def truth(frame: int, size: Size) -> FrameTruth:
        paths = {number: folder / f"mask{names[frame]}_{organ}.png" for number, organ in FOLDERS.items()}
        there = {number: path for number, path in paths.items() if path.is_file()}
        if not there:
            raise FileNotFoundError(f"{folder} holds no mask{names[frame]}_ORGAN.png: is the set complete?")
        masks: dict[int, Mask] = {}
        for number, path in there.items():
            masks |= read_binary(path, number).masks
            if number in masks and masks[number].shape != size:
                raise ValueError(f"{path} is not of the size of {images[frame].name}: fetch both again")
        return FrameTruth(masks)

    return case_of_pictures(f"multilabel/{folder.name}", images, truth, CLASSES, group=folder.name)


def write_fixture(root: Path) -> None:
    for place, surgery in enumerate(("01", "02", "03", "04")):
        images, labels = made_up(2, (2, 5, 9), seed=place)
        for frame, image, truth in zip(("00", "01"), images, labels, strict=True):
            masks = {organ: ((truth == number) * 255).astype(np.uint8) for number, organ in FOLDERS.items()}
            for organ in ("colon", "stomach"):
                save(root / organ / surgery / f"image{frame}.png", image)
                save(root / organ / surgery / f"mask{frame}.png", masks[organ])
            for organ in ("liver", "stomach"):
                save(root / "multilabel" / surgery / f"mask{frame}_{organ}.png", masks[organ])
            save(root / "multilabel" / surgery / f"image{frame}.png", image)


DATASET = Dataset(
    name="dsad",
    title="The Dresden Surgical Anatomy Dataset",
    frames="video",
    ids="classes",
    licence="CC BY 4.0",
    obtain="https://doi.org/10.6084/m9.figshare.21702600",
    citation="Carstens et al., The Dresden Surgical Anatomy Dataset for abdominal organ segmentation in surgical data "
    "science, Scientific Data 2023",
    classes=CLASSES,
    splits=SPLITS,
    layout="ORGAN/SURGERY/imageNN.png  maskNN.png  (such as colon/01/image00.png)\n"
    "multilabel/SURGERY/imageNN.png  maskNN_ORGAN.png",
    cases=cases,
    write_fixture=write_fixture,
)
