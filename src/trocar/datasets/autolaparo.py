"""AutoLaparo, task 3: 300 clips of six frames at 1 Hz; shafts and manipulators of four instruments, and the uterus.

Frames are JPEG, masks PNG pictures of the same names, whose grey values are multiples of 20. The owners split by clip:
the first 170 for training, then 57 for validation and 73 for test. How they name files could not be seen; read is any
name whose first number is the clip and whose last is the frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import matched, picture_case

CLASSES = {
    1: "grasping forceps manipulator",
    2: "grasping forceps shaft",
    3: "ligasure manipulator",
    4: "ligasure shaft",
    5: "dissecting and grasping forceps manipulator",
    6: "dissecting and grasping forceps shaft",
    7: "electric hook manipulator",
    8: "electric hook shaft",
    9: "uterus",
}
PALETTE = Palette({20 * number: number for number in (0, *CLASSES)})
CLIPS = {"train": range(1, 171), "val": range(171, 228), "test": range(228, 301)}
SPLITS = {
    "train": Split("the owners' training clips, 1 to 170; SA-SV trains on all 300 clips", 170),
    "val": Split("the owners' validation clips, 171 to 227", 57),
    "test": Split("the owners' test clips, 228 to 300", 73, reported=True),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    images, labels = matched(root / "imgs" / "*.jpg", root / "masks" / "*.png")
    clips: dict[int, list[int]] = {}
    for place, path in enumerate(images):
        number = re.search(r"\d+", path.stem)
        if number is None:
            raise ValueError(f"{path} has no number in its name: the clip's is expected there")
        clips.setdefault(int(number[0]), []).append(place)
    for clip in sorted(set(clips) & set(CLIPS[split])):
        frames, truths = [images[place] for place in clips[clip]], [labels[place] for place in clips[clip]]
        yield picture_case(f"clip{clip:03d}", frames, truths, PALETTE.read, CLASSES)


def write_fixture(root: Path) -> None:
    for clip in (1, 171, 228):
        images, labels = made_up(3, (1, 2, 9), seed=clip)
        for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
            save(root / "imgs" / f"{clip:03d}_{frame}.jpg", image)
            save(root / "masks" / f"{clip:03d}_{frame}.png", (truth * 20).astype(np.uint8))


DATASET = Dataset(
    name="autolaparo",
    title="AutoLaparo, task 3: instrument and key anatomy segmentation",
    frames="video",
    ids="classes",
    licence="CC BY-NC-SA 4.0, academic research only",
    obtain="https://autolaparo.github.io (a form to fill in)",
    citation="Wang et al., AutoLaparo: a new dataset of integrated multi-tasks for image-guided surgical automation in "
    "laparoscopic hysterectomy, MICCAI 2022",
    classes=CLASSES,
    splits=SPLITS,
    layout="imgs/CLIP_FRAME.jpg\nmasks/CLIP_FRAME.png  (what AutoLaparo_Task3 holds)",
    cases=cases,
    write_fixture=write_fixture,
)
