"""Kvasir-SEG: colonoscopy frames of many sizes, each with its polyps as a black and white mask.

Masks are JPEG pictures; a pixel is polyp where it is nearer to white than to black.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import coloured, made_up, save
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import case_each, matched

CLASSES = {1: "polyp"}
PALETTE = Palette({(0, 0, 0): 0, (255, 255, 255): 1}, nearest=True)


def cases(root: Path, split: str) -> Iterator[Case]:
    yield from case_each(*matched(root / "images" / "*.jpg", root / "masks" / "*.jpg"), PALETTE.read, CLASSES)


def write_fixture(root: Path) -> None:
    for place, (name, size) in enumerate((("cju0qkwl35piu", (48, 64)), ("cju1c0qb4tzi3", (40, 56)))):
        images, labels = made_up(1, (1,), size, place)
        save(root / "images" / f"{name}.jpg", images[0])
        save(root / "masks" / f"{name}.jpg", coloured(labels[0], {1: (255, 255, 255)}))


DATASET = Dataset(
    name="kvasir-seg",
    title="Kvasir-SEG",
    frames="picture",
    ids="classes",
    licence="for research and education only; ask the owners for anything else",
    obtain="https://datasets.simula.no/kvasir-seg/",
    citation="Jha et al., Kvasir-SEG: a segmented polyp dataset, MMM 2020",
    classes=CLASSES,
    splits={"train": Split("all there is, as SA-SV trains on it", 1000)},
    layout="images/NAME.jpg\nmasks/NAME.jpg  (what kvasir-seg.zip holds in Kvasir-SEG/)",
    cases=cases,
    write_fixture=write_fixture,
)
