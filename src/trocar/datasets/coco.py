"""Pictures of your own with a COCO instance document for each split: outlines or run-length codes.

Each picture is a case, and its instances are its objects. Pictures in one folder are one group: name folders by patient
or recording, so that none lies in two splits. Crowds (iscrowd) are ignored, as COCO's own scores do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from trocar.datasets.case import Case
from trocar.datasets.coco_cases import coco_case, read_coco_pictures, write_coco_fixture
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save

SPLITS = {name: Split("yours", reported=name == "test") for name in ("train", "val", "test")}


def cases(root: Path, split: str) -> Iterator[Case]:
    for picture in read_coco_pictures(root / split / "annotations.json", crowds=True):
        folder = PurePosixPath(picture.file).parent
        yield coco_case(
            picture.file, [picture], root / split / "images", "" if folder == folder.parent else str(folder)
        )


def write_fixture(root: Path) -> None:
    for place, split in enumerate(SPLITS):
        images, truths = made_up(3, (1, 2), seed=place)
        names = [f"{split}-patient/{number}.png" for number in (1, 2, 10)]
        for name, image in zip(names, images, strict=True):
            save(root / split / "images" / name, image)
        labels = dict(zip(names, truths, strict=True))
        write_coco_fixture(root / split / "annotations.json", labels, {1: "hook", 2: "gallbladder"}, names[2:])


DATASET = Dataset(
    name="coco",
    title="Pictures with COCO documents",
    frames="picture",
    ids="instances",
    licence="yours",
    obtain="https://cocodataset.org/#format-data says how a document is written",
    citation="the format: Lin et al., Microsoft COCO: common objects in context, ECCV 2014",
    classes={},
    splits=SPLITS,
    layout="SPLIT/annotations.json\nSPLIT/images/FILE  (as the document names it)",
    cases=cases,
    write_fixture=write_fixture,
)
