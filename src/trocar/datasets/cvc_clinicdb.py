"""CVC-ClinicDB: 612 colonoscopy frames of 29 sequences, each frame with its polyps as a black and white mask.

Frames are numbered from 1 through all sequences; the table says with which number each sequence ends. A sequence is
a case, since its frames follow one another and must not be torn apart by a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import matched, picture_case

CLASSES = {1: "polyp"}
ENDS = (
    *(25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317),
    *(342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612),
)


def cases(root: Path, split: str) -> Iterator[Case]:
    images, labels = matched(root / "Original" / "*.tif", root / "Ground Truth" / "*.tif")
    for number, end in enumerate(ENDS, 1):
        first = ENDS[number - 2] + 1 if number > 1 else 1
        own = [place for place, path in enumerate(images) if first <= int(path.stem) <= end]
        if own:
            frames, truths = [images[place] for place in own], [labels[place] for place in own]
            yield picture_case(f"sequence{number:02d}", frames, truths, read_binary, CLASSES)


def write_fixture(root: Path) -> None:
    numbers = (1, 2, 10, 25, 26, 612)
    images, labels = made_up(len(numbers), (1,))
    for number, image, truth in zip(numbers, images, labels, strict=True):
        save(root / "Original" / f"{number}.tif", image)
        save(root / "Ground Truth" / f"{number}.tif", truth * 255)


DATASET = Dataset(
    name="cvc-clinicdb",
    title="CVC-ClinicDB",
    frames="video",
    ids="classes",
    licence="for research and education only, with citation",
    obtain="https://polyp.grand-challenge.org/CVCClinicDB/",
    citation="Bernal et al., WM-DOVA maps for accurate polyp highlighting in colonoscopy, Computerized Medical Imaging "
    "and Graphics 2015",
    classes=CLASSES,
    splits={"train": Split("all 29 sequences, as SA-SV trains on them", len(ENDS))},
    layout="Original/N.tif  (N from 1 to 612)\nGround Truth/N.tif",
    cases=cases,
    write_fixture=write_fixture,
)
