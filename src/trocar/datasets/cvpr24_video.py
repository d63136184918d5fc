"""The videos of the SAM 2 medical benchmark, in the folders of its scripts: hearts (CAMUS) and polyps (SUN-SEG).

Ultrasound: `imgs` (3, frames, rows, columns) uint8 and `gts` (frames, rows, columns) in one file. Endoscopy: a video
file and `gts` beside it; truth with a 255 anywhere is one object, wherever it is not 0. No boxes are stored: the
benchmark made them from the truth. Its authors do not say which structure a label of the hearts is, nor how many videos
there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.challenge_cases import CITATION, LICENCE, read_array, shape_of
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save_video
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import kept, label_truth
from trocar.formats.video import VideoSource
from trocar.frames import ArraySource, FrameSource

HEARTS = "US/CAMUS_preprocessed_test_relabel"
POLYPS = "Endo/SUN-SEG_preprocessed_relabel"
STRUCTURES = {1: "structure 1", 2: "structure 2", 3: "structure 3"}
TARGETS = {1: "polyp"}


def cases(root: Path, split: str) -> Iterator[Case]:
    if split == "Ultrasound":
        for name in names_between(root / HEARTS, "", ".npz"):
            yield _case(name, root / HEARTS / f"{name}.npz", root / HEARTS / f"{name}.npz", STRUCTURES)
    else:
        videos, truths = root / POLYPS / "imgs", root / POLYPS / "gts"
        for name in in_order(names_between(videos, "", ".mp4") + names_between(truths, "", ".npz")):
            yield _case(name, videos / f"{name}.mp4", truths / f"{name}.npz", TARGETS)


def _case(name: str, frames: Path, labels: Path, objects: dict[int, str]) -> Case:
    read_labels = partial(_labels, labels)

    def truth(frame: int) -> FrameTruth:
        volume = kept(read_labels)
        if not 0 <= frame < len(volume):
            raise ValueError(f"{labels} has {len(volume)} frames and none of number {frame}: fetch it again")
        return label_truth(volume[frame], objects, labels)

    return Case(name, (*shape_of(labels, "gts"), 0)[0], partial(_frames, frames), truth, objects)


def _frames(path: Path) -> FrameSource:
    if path.suffix == ".mp4":
        return VideoSource(path)
    pixels = read_array(path, "imgs")
    if pixels.ndim != 4 or pixels.shape[0] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"{path}: imgs is {pixels.dtype} {pixels.shape}, not (3, frames, rows, columns) uint8")
    return ArraySource(np.moveaxis(pixels, 0, 3), path.stem)


def _labels(path: Path) -> NDArray[Any]:
    values = read_array(path, "gts")
    return (values != 0).astype(np.uint8) if (values == 255).any() else values


def write_fixture(root: Path) -> None:
    for folder in (root / HEARTS, root / POLYPS / "gts"):
        folder.mkdir(parents=True, exist_ok=True)
    images, labels = made_up(4, (1, 2))
    np.savez_compressed(root / HEARTS / "patient0001_2CH.npz", imgs=np.moveaxis(images, 3, 0), gts=labels)
    images, labels = made_up(4, (1,))
    save_video(root / POLYPS / "imgs/case1_1.mp4", images, 25)
    np.savez_compressed(root / POLYPS / "gts/case1_1.npz", gts=labels * np.uint8(255))


DATASET = Dataset(
    name="cvpr24-video",
    title="Videos of the SAM 2 medical benchmark",
    frames="video",
    ids="masklets",
    licence=LICENCE,
    obtain="https://github.com/bowang-lab/MedSAM/tree/MedSAM2",
    citation=CITATION,
    classes={},
    splits={
        "Ultrasound": Split("CAMUS, relabelled by the authors", reported=True),
        "Endoscopy": Split("SUN-SEG, relabelled by the authors", reported=True),
    },
    layout=f"{HEARTS}/NAME.npz (imgs, gts)\n{POLYPS}/imgs/NAME.mp4\n{POLYPS}/gts/NAME.npz (gts)",
    cases=cases,
    write_fixture=write_fixture,
)
