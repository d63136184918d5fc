"""SurgAI3.8k: gynecologic laparoscopy with the uterus; its contours and the Fallopian tubes' junctions are not read.

The names inside the owners' archive could not be seen: the tree below is how to arrange it, the frames of a video in
one folder and their masks of the same names in another, uterus wherever a mask is not black.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import case_each_folder

CLASSES = {1: "uterus"}


def cases(root: Path, split: str) -> Iterator[Case]:
    yield from case_each_folder(root / "frames", root / "masks", partial(read_binary, threshold=0), CLASSES)


def write_fixture(root: Path) -> None:
    for video in (1, 2):
        images, labels = made_up(3, (1,), seed=video)
        for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
            save(root / "frames" / f"video{video}" / f"{frame:05d}.png", image)
            save(root / "masks" / f"video{video}" / f"{frame:05d}.png", truth * 255)


DATASET = Dataset(
    name="surgai3.8k",
    title="SurgAI3.8k",
    frames="video",
    ids="classes",
    licence="not stated where the archive lies: ask the owners",
    obtain="https://igt.ip.uca.fr/~ab/code_and_datasets/ (surgai3.8k_v1p0.zip)",
    citation="Madad Zadeh et al., SurgAI3.8K: a labeled dataset of gynecologic organs in laparoscopy with application "
    "to automatic augmented reality surgical guidance, Journal of Minimally Invasive Gynecology 2023",
    classes=CLASSES,
    splits={"test": Split("all videos of SA-SV's test set: 3817 frames", 51, reported=True)},
    layout="frames/VIDEO/NNNNN.png\nmasks/VIDEO/NNNNN.png",
    cases=cases,
    write_fixture=write_fixture,
)
