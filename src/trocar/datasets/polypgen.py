"""PolypGen: colonoscopy of six hospitals; read are the 23 sequences with polyps, which are the part with video.

Frames and black and white masks are JPEG; a mask is called like its frame with "_mask" behind it. The 1537 single
frames, and the sequences without a polyp, which have no masks, are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import coloured, made_up, save
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import matched, picture_case
from trocar.formats.images import natural_key

CLASSES = {1: "polyp"}
PALETTE = Palette({(0, 0, 0): 0, (255, 255, 255): 1}, nearest=True)


def cases(root: Path, split: str) -> Iterator[Case]:
    folders = (root / "sequenceData" / "positive").glob("seq[0-9]*")
    for folder in sorted(folders, key=lambda path: natural_key(path.name)):
        frames, masks = folder / f"images_{folder.name}", folder / f"masks_{folder.name}"
        yield picture_case(folder.name, *matched(frames / "*.jpg", masks / "*_mask.jpg"), PALETTE.read, CLASSES)


def write_fixture(root: Path) -> None:
    for number in (1, 2, 10):
        images, labels = made_up(3, (1,), seed=number)
        labels[1] = 0
        folder = root / "sequenceData" / "positive" / f"seq{number}"
        for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
            name = f"seq{number}_C6_{frame}"
            save(folder / f"images_seq{number}" / f"{name}.jpg", image)
            save(folder / f"masks_seq{number}" / f"{name}_mask.jpg", coloured(truth, {1: (255, 255, 255)}))


DATASET = Dataset(
    name="polypgen",
    title="PolypGen, sequences with polyps",
    frames="video",
    ids="classes",
    licence="open access for research, as its Synapse page states after signing in; ask the owners for commercial use",
    obtain="https://www.synapse.org/Synapse:syn26376615 (an account)",
    citation="Ali et al., A multi-centre polyp detection and segmentation dataset for generalisability assessment, "
    "Scientific Data 2023",
    classes=CLASSES,
    splits={
        "test": Split("all sequences with polyps; SA-SV tests on 21 of them, which it does not list", 23, reported=True)
    },
    layout="sequenceData/positive/seqN/images_seqN/NAME.jpg\nsequenceData/positive/seqN/masks_seqN/NAME_mask.jpg\n"
    "(what PolypGen2021_MultiCenterData_v3 holds)",
    cases=cases,
    write_fixture=write_fixture,
)
