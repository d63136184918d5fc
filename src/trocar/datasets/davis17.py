"""DAVIS 2017: short videos of everyday things, every frame annotated, at 480p.

Ids are palette indices and stay with a thing; 255 is void. Objects have no names. Every object shows on the first
frame, which therefore says which there are, as in the owners' evaluation code. The trainval download is read, which
unpacks to a folder DAVIS; the owners publish no checksums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.found_objects import FoundObjects
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import pairs, picture_case, pictures
from trocar.formats.colours import COLOURS

SPLITS = {"train": Split("official", 60), "val": Split("official", 30, reported=True)}
PALETTE = Palette({number: number for number in range(255)}, void=(255,))


def cases(root: Path, split: str) -> Iterator[Case]:
    listed = root / "ImageSets" / "2017" / f"{split}.txt"
    if not listed.is_file():
        raise FileNotFoundError(f"{listed} is missing: is the set complete?")
    for name in sorted(listed.read_text(encoding="utf-8").split()):
        images, labels = pairs(
            pictures(root / "JPEGImages" / "480p" / name, "*.jpg"), pictures(root / "Annotations" / "480p" / name)
        )
        yield picture_case(name, images, labels, PALETTE.read, _objects(labels))


def _objects(labels: Sequence[Path]) -> FoundObjects:
    def look() -> dict[int, str]:
        for path in labels:
            try:
                return dict.fromkeys(PALETTE.read(path).masks, "object")
            except (OSError, ValueError):
                continue
        return {}

    return FoundObjects(look)


def write_fixture(root: Path) -> None:
    for place, (split, names) in enumerate({"train": ("bear", "boat"), "val": ("bike-packing",)}.items()):
        lists = root / "ImageSets" / "2017" / f"{split}.txt"
        lists.parent.mkdir(parents=True, exist_ok=True)
        lists.write_text("".join(f"{name}\n" for name in names))
        for name in names:
            images, labels = made_up(3, (1, 2), seed=place)
            labels[:, 0, :5] = 255
            for number, (image, truth) in enumerate(zip(images, labels, strict=True)):
                save(root / "JPEGImages" / "480p" / name / f"{number:05d}.jpg", image)
                indexed = Image.fromarray(truth)
                indexed.putpalette(COLOURS.tobytes())
                path = root / "Annotations" / "480p" / name / f"{number:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                indexed.save(path)


DATASET = Dataset(
    name="davis17",
    title="DAVIS 2017",
    frames="video",
    ids="masklets",
    licence="BSD, as the owners' repositories state",
    obtain="https://davischallenge.org/davis2017/code.html: TrainVal, 480p",
    citation="Pont-Tuset et al., The 2017 DAVIS challenge on video object segmentation, arXiv 1704.00675, 2017; "
    "Perazzi et al., A benchmark dataset and evaluation methodology for video object segmentation, CVPR 2016",
    classes={},
    splits=SPLITS,
    layout="ImageSets/2017/{train,val}.txt\nJPEGImages/480p/VIDEO/NNNNN.jpg\nAnnotations/480p/VIDEO/NNNNN.png",
    cases=cases,
    write_fixture=write_fixture,
    folder="DAVIS",
)
