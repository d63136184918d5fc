"""ART-Net: single frames of laparoscopic hysterectomy with the one or two tools in them as a black and white mask.

The set is sent after a form has been filled in. Its frames carry names like Train_Pos_sample_0001.png; the folder of
the masks could not be seen, so the tree below is how to arrange what the owners send. Frames without a tool, which the
owners use to train detection, have no mask and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import case_each, matched

CLASSES = {1: "tool"}
SPLITS = {
    "train": Split("the owners' training frames; SA-SV trains on 816 frames of both splits"),
    "test": Split("the owners' test frames", reported=True),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    folder = root / split.capitalize()
    yield from case_each(*matched(folder / "Pos" / "*.png", folder / "Pos_ToolMask" / "*.png"), read_binary, CLASSES)


def write_fixture(root: Path) -> None:
    for place, split in enumerate(("Train", "Test")):
        images, labels = made_up(2, (1,), seed=place)
        for number, image, truth in zip((1, 2), images, labels, strict=True):
            save(root / split / "Pos" / f"{split}_Pos_sample_{number:04d}.png", image)
            save(root / split / "Pos_ToolMask" / f"{split}_Pos_sample_{number:04d}.png", truth * 255)


DATASET = Dataset(
    name="art-net",
    title="ART-Net",
    frames="picture",
    ids="classes",
    licence="for research and academic use only",
    obtain="https://github.com/kamruleee51/ART-Net (a form to fill in)",
    citation="Hasan et al., Detection, segmentation, and 3D pose estimation of surgical tools using convolutional "
    "neural networks and algebraic geometry, Medical Image Analysis 2021",
    classes=CLASSES,
    splits=SPLITS,
    layout="Train/Pos/Train_Pos_sample_NNNN.png\nTrain/Pos_ToolMask/Train_Pos_sample_NNNN.png\n"
    "Test/Pos/Test_Pos_sample_NNNN.png\nTest/Pos_ToolMask/Test_Pos_sample_NNNN.png",
    cases=cases,
    write_fixture=write_fixture,
)
