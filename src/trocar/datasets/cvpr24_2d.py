"""The 2-D files of the CVPR 2024 challenge, on which the first table of the SAM 2 medical benchmark was made.

A split is a modality. `imgs` is (rows, columns, 3) uint8, `gts` (rows, columns) with a label for each target. The
owners do not say how many files each modality has.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.challenge_cases import (
    CITATION,
    LICENCE,
    MODALITIES,
    OBTAIN,
    PromptedCase,
    boxed_objects,
    challenge_files,
    read_array,
    stored_boxes,
    write_challenge,
)
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up
from trocar.datasets.volume_cases import label_truth
from trocar.frames import ArraySource


def cases(root: Path, split: str) -> Iterator[Case]:
    for name, image, labels in challenge_files(root, "2D", split):
        yield _case(name, image, labels)


def _case(name: str, image: Path, labels: Path) -> Case:
    objects = boxed_objects(image)

    def source() -> ArraySource:
        pixels = read_array(image, "imgs")
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"{image}: imgs is {pixels.dtype} {pixels.shape}, not (rows, columns, 3) uint8")
        return ArraySource(pixels[None], name)

    def truth(frame: int) -> FrameTruth:
        return label_truth(read_array(labels, "gts"), objects, labels)

    return PromptedCase(name, 1, source, truth, objects, boxes=partial(stored_boxes, image))


def write_fixture(root: Path) -> None:
    for seed, modality in enumerate(MODALITIES):
        images, labels = made_up(1, (1, 2), seed=seed)
        write_challenge(root, f"2DBox_{modality}_{seed:04d}", images[0], labels[0])


DATASET = Dataset(
    name="cvpr24-2d",
    title="CVPR 2024 challenge, 2-D files",
    frames="picture",
    ids="instances",
    licence=LICENCE,
    obtain=OBTAIN,
    citation=CITATION,
    classes={},
    splits={modality: Split("the modality, as the file names say", reported=True) for modality in MODALITIES},
    layout="imgs/2DBox_MODALITY_NNNN.npz (imgs, boxes)\ngts/2DBox_MODALITY_NNNN.npz (gts)",
    cases=cases,
    write_fixture=write_fixture,
)
