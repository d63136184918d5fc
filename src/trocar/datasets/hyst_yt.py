"""Hyst-YT: instruments in hysterectomies from YouTube, the set of a paper on federated learning.

No public copy is known, so neither the owners' files nor their classes could be seen: the tree below is how to arrange
what they send, frames and masks of one name, an instrument wherever a mask is not black.
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

CLASSES = {1: "surgical instrument"}


def cases(root: Path, split: str) -> Iterator[Case]:
    yield from case_each_folder(root / "frames", root / "masks", partial(read_binary, threshold=0), CLASSES)


def write_fixture(root: Path) -> None:
    for video in (1, 2):
        images, labels = made_up(3, (1, 2), seed=video)
        for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
            save(root / "frames" / f"video{video}" / f"{frame:05d}.png", image)
            save(root / "masks" / f"video{video}" / f"{frame:05d}.png", truth)


DATASET = Dataset(
    name="hyst-yt",
    title="Hyst-YT",
    frames="video",
    ids="classes",
    licence="not published: ask the owners",
    obtain="https://arxiv.org/abs/2506.23759 (write to the authors)",
    citation="Fang et al., Spatio-temporal representation decoupling and enhancement for federated instrument "
    "segmentation in surgical videos, arXiv 2506.23759, 2025",
    classes=CLASSES,
    splits={"test": Split("all videos of SA-SV's test set: 1973 frames", 6, reported=True)},
    layout="frames/VIDEO/NNNNN.png\nmasks/VIDEO/NNNNN.png",
    cases=cases,
    write_fixture=write_fixture,
)
