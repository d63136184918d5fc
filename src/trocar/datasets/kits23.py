"""KiTS23: CT of kidneys with tumours and cysts, the 489 labelled cases, as `kits23_download_data` leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import names_between
from trocar.datasets.volume_cases import volume_case

CLASSES = {1: "kidney", 2: "tumor", 3: "cyst"}


def cases(root: Path, split: str) -> Iterator[Case]:
    for name in names_between(root / "dataset", "case_", ""):
        folder = root / "dataset" / f"case_{name}"
        yield volume_case(folder.name, folder / "imaging.nii.gz", folder / "segmentation.nii.gz", CLASSES)


def write_fixture(root: Path) -> None:
    for number in range(3):
        folder = root / "dataset" / f"case_{number:05d}"
        save_made_up(folder / "imaging.nii.gz", folder / "segmentation.nii.gz", tuple(CLASSES), number)


DATASET = Dataset(
    name="kits23",
    title="KiTS23",
    frames="volume",
    ids="classes",
    licence="CC BY-NC-SA",
    obtain="https://github.com/neheller/kits23",
    citation="Heller et al., The KiTS21 challenge: automatic segmentation of kidneys, renal tumors, and renal cysts in "
    "corticomedullary-phase CT, arXiv:2307.01984",
    classes=CLASSES,
    splits={"all": Split("all that have labels; those of the test cases are kept back", 489, reported=True)},
    layout="dataset/case_NNNNN/imaging.nii.gz\ndataset/case_NNNNN/segmentation.nii.gz",
    cases=cases,
    write_fixture=write_fixture,
)
