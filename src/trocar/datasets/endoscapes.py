"""Endoscapes-Seg50: cholecystectomies around the critical view of safety, the part of Endoscapes2023 with masks.

One frame every 30 s of 50 videos, each a case of its own: instances of five anatomical structures and of tools. They
are read from the COCO documents, whose pictures alone have masks; the folders hold the frames between them too.
Pixels with the value 255 in the semantic maps (`semseg`) belong to no class for certain and are ignored. Boxes and
assessments of the critical view of safety, which all 201 videos have, are not read. The owners publish no checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case, Mask
from trocar.datasets.coco_cases import CocoPicture, coco_case, read_coco_pictures, write_coco_fixture
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import read_values

CLASSES = {
    1: "cystic plate",
    2: "calot triangle",
    3: "cystic artery",
    4: "cystic duct",
    5: "gallbladder",
    6: "tool",
}
SPLITS = {
    "train": Split("official: 30 videos", 343),
    "val": Split("official: 10 videos", 76),
    "test": Split("official: 10 videos", 74, reported=True),
}
VOID = 255


def cases(root: Path, split: str) -> Iterator[Case]:
    folder = root / f"{split}_seg"

    def void(picture: CocoPicture) -> Mask:
        path = root / "semseg" / f"{Path(picture.file).stem}.png"
        mask: Mask = read_values(path) == VOID
        if mask.shape != picture.size:
            raise ValueError(f"{path} is {mask.shape} and its frame {picture.size}: fetch both again")
        return mask

    for picture in read_coco_pictures(folder / "annotation_coco.json"):
        name = Path(picture.file).stem
        yield coco_case(name, [picture], folder, f"video {name.partition('_')[0]}", void)


def write_fixture(root: Path) -> None:
    for place, (split, videos) in enumerate({"train": (4, 119), "val": (126,), "test": (165,)}.items()):
        folder, labels = root / f"{split}_seg", {}
        for video in videos:
            images, truths = made_up(2, (2, 4, 5, 6), (96, 128), seed=place + video)
            for frame, image, truth in zip((9500, 10250), images, truths, strict=True):
                truth[0, :4] = 0
                semantic = truth.copy()
                semantic[0, :4] = VOID
                save(folder / f"{video}_{frame}.jpg", image)
                save(root / "semseg" / f"{video}_{frame}.png", np.repeat(semantic[..., None], 3, axis=2))
                labels[f"{video}_{frame}.jpg"] = truth
        write_coco_fixture(
            folder / "annotation_coco.json", labels, {n: name.replace(" ", "_") for n, name in CLASSES.items()}
        )


DATASET = Dataset(
    name="endoscapes",
    title="Endoscapes2023 (Endoscapes-Seg50)",
    frames="picture",
    ids="instances",
    licence="CC BY-NC-SA 4.0",
    obtain="https://github.com/CAMMA-public/Endoscapes: a download without registration",
    citation="Murali et al., The Endoscapes dataset for surgical scene segmentation, object detection, and critical "
    "view of safety assessment: official splits and benchmark, arXiv 2312.12429, 2023; Alapatt et al., Temporally "
    "constrained neural networks, arXiv 2112.13815, 2021",
    classes=CLASSES,
    splits=SPLITS,
    layout="train_seg/VIDEO_FRAME.jpg  train_seg/annotation_coco.json  (val_seg, test_seg too)\nsemseg/VIDEO_FRAME.png",
    cases=cases,
    write_fixture=write_fixture,
)
