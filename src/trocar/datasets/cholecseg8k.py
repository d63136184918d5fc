"""CholecSeg8k: 101 clips of 80 frames from 17 videos of Cholec80, every pixel one of 13 classes.

Truth is the "watershed mask", a grey picture in three or four channels. Its values are those of the annotation tool,
not of the paper's table; 50 is the black outside of the view, and 0 and 255 occur on borders that nobody labelled, and
are ignored. Clips of one video follow one another, so a split must not part a video.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import matched, picture_case
from trocar.formats.images import natural_key

CLASSES = {
    1: "abdominal wall",
    2: "liver",
    3: "gastrointestinal tract",
    4: "fat",
    5: "grasper",
    6: "connective tissue",
    7: "blood",
    8: "cystic duct",
    9: "l-hook electrocautery",
    10: "gallbladder",
    11: "hepatic vein",
    12: "liver ligament",
}
VALUES = {50: 0, 11: 1, 21: 2, 13: 3, 12: 4, 31: 5, 23: 6, 24: 7, 25: 8, 32: 9, 22: 10, 33: 11, 5: 12}
PALETTE = Palette(VALUES, void=(0, 255))


def cases(root: Path, split: str) -> Iterator[Case]:
    for clip in sorted(root.glob("video[0-9]*/video[0-9]*_[0-9]*"), key=lambda path: natural_key(path.name)):
        frames, truths = matched(clip / "frame_*_endo.png", clip / "frame_*_endo_watershed_mask.png")
        yield picture_case(clip.name, frames, truths, PALETTE.read, CLASSES, group=clip.parent.name)


def write_fixture(root: Path) -> None:
    values = np.zeros(256, np.uint8)
    values[list(VALUES.values())] = list(VALUES)
    for place, clip in enumerate(("video01_00080", "video01_00160", "video09_00080")):
        images, labels = made_up(3, (2, 5, 10, 12), seed=place)
        for number, image, truth in zip((98, 99, 100), images, labels, strict=True):
            folder, grey = root / clip[:7] / clip, values[truth]
            grey[0] = 255
            save(folder / f"frame_{number}_endo.png", image)
            save(folder / f"frame_{number}_endo_watershed_mask.png", np.repeat(grey[..., None], 3, axis=2))


DATASET = Dataset(
    name="cholecseg8k",
    title="CholecSeg8k",
    frames="video",
    ids="classes",
    licence="CC BY-NC-SA 4.0",
    obtain="https://www.kaggle.com/datasets/newslab/cholecseg8k",
    citation="Hong et al., CholecSeg8k: a semantic segmentation dataset for laparoscopic cholecystectomy based on "
    "Cholec80, arXiv 2012.12453, 2020",
    classes=CLASSES,
    splits={"train": Split("all there is; the owners give no split, and SA-SV trains on 4338 frames of it", 101)},
    layout="videoNN/videoNN_FIRST/frame_N_endo.png\nvideoNN/videoNN_FIRST/frame_N_endo_watershed_mask.png",
    cases=cases,
    write_fixture=write_fixture,
)
