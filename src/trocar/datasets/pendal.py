"""Pendal: 116 panoramic X-rays with the mandible ("Panoramic dental X-rays with segmented mandibles"), version 2.

A label picture is the X-ray with everything but the mandible black, so the mandible is what is not black. Of the two
annotators' pictures those in Segmentation1 are read, as the One-Prompt protocol's authors do. The owners name no split.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import picture_case

CLASSES = {1: "mandible"}


def cases(root: Path, split: str) -> Iterator[Case]:
    images, masks = root / "Images", root / "Segmentation1"
    read = partial(read_binary, threshold=0)
    for name in in_order(names_between(images, "", ".png") + names_between(masks, "", ".png")):
        yield picture_case(name, [images / f"{name}.png"], [masks / f"{name}.png"], read, CLASSES)


def write_fixture(root: Path) -> None:
    for number in (1, 2, 10):
        images, labels = made_up(1, (1,), seed=number)
        save(root / f"Images/{number}.png", images[0, ..., 0])
        save(root / f"Segmentation1/{number}.png", images[0, ..., 0].clip(1) * labels[0])


DATASET = Dataset(
    name="pendal",
    title="Panoramic dental X-rays with segmented mandibles",
    frames="picture",
    ids="classes",
    licence="CC BY-NC 3.0",
    obtain="https://data.mendeley.com/datasets/hxt48yk462/2",
    citation="Abdi et al., Automatic segmentation of mandible in panoramic X-ray, Journal of Medical Imaging 2(4), "
    "2015",
    classes=CLASSES,
    splits={"all": Split("all that are published", 116, reported=True)},
    layout="Images/N.png\nSegmentation1/N.png",
    cases=cases,
    write_fixture=write_fixture,
)
