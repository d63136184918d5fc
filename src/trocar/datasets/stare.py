"""STARE: 20 fundus photographs with the retinal vessels, labelled by hand by two people; those of Adam Hoover are read.

The archives hold *.ppm.gz: unpack those too (gunzip). The owners name no split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import picture_case

CLASSES = {1: "retinal vessel"}


def cases(root: Path, split: str) -> Iterator[Case]:
    images, masks = root / "stare-images", root / "labels-ah"
    for name in in_order(names_between(images, "", ".ppm") + names_between(masks, "", ".ah.ppm")):
        yield picture_case(name, [images / f"{name}.ppm"], [masks / f"{name}.ah.ppm"], read_binary, CLASSES)


def write_fixture(root: Path) -> None:
    for seed, name in enumerate(("im0001", "im0002")):
        images, labels = made_up(1, (1,), seed=seed)
        save(root / f"stare-images/{name}.ppm", images[0])
        save(root / f"labels-ah/{name}.ah.ppm", labels[0] * np.uint8(255))


DATASET = Dataset(
    name="stare",
    title="STARE (vessels)",
    frames="picture",
    ids="classes",
    licence="none is stated",
    obtain="https://cecas.clemson.edu/~ahoover/stare/probing/index.html",
    citation="Hoover et al., Locating blood vessels in retinal images by piecewise threshold probing of a matched "
    "filter response, IEEE Transactions on Medical Imaging 19(3), 2000",
    classes=CLASSES,
    splits={"all": Split("all that are labelled", 20, reported=True)},
    layout="stare-images/imNNNN.ppm\nlabels-ah/imNNNN.ah.ppm",
    cases=cases,
    write_fixture=write_fixture,
)
