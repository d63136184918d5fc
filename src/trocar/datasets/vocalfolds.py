"""Vocal folds: in-vivo laryngeal surgery, 8 sequences of 2 patients, 536 frames with seven classes a pixel.

Laves et al., "A dataset of laryngeal endoscopic images with comparative study on convolution neural network based
semantic segmentation", IJCARS 2019 (arXiv:1807.06081); CC BY 4.0.

Layout: `vocalfolds/images/patient1/seq1/0001.jpg` beside `vocalfolds/labels/patient1/seq1/0001.png`. The number of a
file is its time; frames were picked by hand, so neighbours lie 1 to 20 numbers apart. Each class counts as one
object, other tissue included; void pixels carry no truth and are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.datasets.clip import Clip
from trocar.datasets.location import locate

CLASSES = {
    1: "vocal folds",
    2: "other tissue",
    3: "glottal space",
    4: "pathology",
    5: "surgical tool",
    6: "intubation",
}

SPLITS = {
    "train": ("patient2/seq5", "patient2/seq7", "patient2/seq8"),
    "tune": ("patient2/seq6",),
    "held_out": ("patient1/seq1", "patient1/seq2", "patient1/seq3", "patient1/seq4"),
}


def clips(split: str, root: Path | None = None) -> Iterator[Clip]:
    """The sequences of one split, each read when it is reached.

    Args:
        split: "train", "tune" or "held_out". Patient 1 is held out: nothing may be trained or chosen on it.
        root: the folder that holds vocalfolds/; by default the one that TROCAR_DATA names.

    Raises:
        ValueError: there is no such split, or an image and its labels differ in size.
        FileNotFoundError: the data, or one of its files, is missing.
    """
    if split not in SPLITS:
        raise ValueError(f"vocalfolds has no split {split!r}: choose from {', '.join(SPLITS)}")
    folder = locate("vocalfolds", root)
    return (read_sequence(folder, sequence) for sequence in SPLITS[split])


def read_sequence(folder: Path, sequence: str) -> Clip:
    """One sequence, such as "patient2/seq6", of the data set in `folder`; its objects keep the classes' numbers."""
    files = sorted((folder / "images" / sequence).glob("*.jpg"))
    if not files:
        raise FileNotFoundError(f"{folder / 'images' / sequence} holds no .jpg images: is vocalfolds complete?")
    images = _read_all(files, "RGB")
    labels = _read_all([folder / "labels" / sequence / f"{file.stem}.png" for file in files], "L")
    present = [int(label) for label in np.unique(labels) if label]
    unknown = set(present) - set(CLASSES)
    if unknown:
        raise ValueError(f"{folder / 'labels' / sequence} holds the labels {sorted(unknown)}: expected 0 to 6")
    classes = {label: CLASSES[label] for label in present}
    return Clip(f"vocalfolds/{sequence}", images, labels, classes, ignore=labels == 0)


def _read_all(paths: list[Path], mode: str) -> NDArray[np.uint8]:
    pictures: list[NDArray[np.uint8]] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: is vocalfolds complete?")
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert(mode), np.uint8))
        if pictures[-1].shape != pictures[0].shape:
            rows, columns = pictures[-1].shape[:2]
            first_rows, first_columns = pictures[0].shape[:2]
            raise ValueError(
                f"{path} has {columns} x {rows} pixels and {paths[0].name} {first_columns} x {first_rows}: "
                "the frames of a sequence must be of one size"
            )
    return np.stack(pictures)
