"""ACDC: short-axis cardiac MR at end of diastole and of systole, as WSL4MIS distributes it (ACDC_training_volumes).

One HDF5 file a volume: `image` (values 0 to 1) and `label`, (slices, rows, columns) each, without spacing. A patient is
a group: both volumes lie on one side of any split.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import kept, label_truth
from trocar.formats.hdf5 import Hdf5Source

CLASSES = {1: "RV", 2: "MYO", 3: "LV"}


def cases(root: Path, split: str) -> Iterator[Case]:
    for name in in_order(names_between(root, "", ".h5")):
        yield _case(name, root / f"{name}.h5")


def _case(name: str, path: Path) -> Case:
    read_labels = partial(_labels, path)

    def truth(frame: int) -> FrameTruth:
        return label_truth(kept(read_labels)[frame], CLASSES, path)

    return Case(
        name, _slices(path), partial(Hdf5Source, path, key="image"), truth, CLASSES, group=name.partition("_")[0]
    )


def _labels(path: Path) -> NDArray[Any]:
    """(slices, rows, columns) labels; the file is closed again."""
    source = Hdf5Source(path, key="label")
    return np.stack([source.values(index) for index in range(len(source))])


def _slices(path: Path) -> int:
    try:
        with h5py.File(path, "r") as file:
            return int(file["label"].shape[0])
    except (OSError, KeyError):
        return 0  # opening it says what is wrong


def write_fixture(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    images, labels = made_up(3, tuple(CLASSES), (20, 28))
    with h5py.File(root / "patient001_frame01.h5", "w") as file:
        file["image"] = images[..., 0].astype(np.float32) / 255
        file["label"] = labels


DATASET = Dataset(
    name="acdc",
    title="ACDC (WSL4MIS)",
    frames="volume",
    ids="classes",
    licence="CC BY-NC-SA 4.0",
    obtain="https://github.com/HiLab-git/WSL4MIS",
    citation="Bernard et al., Deep learning techniques for automatic MRI cardiac multi-structures segmentation and "
    "diagnosis: is the problem solved?, IEEE Transactions on Medical Imaging 37(11), 2018",
    classes=CLASSES,
    splits={
        "all": Split(
            "all that are there (100 patients, two volumes each, are published); evaluation only", reported=True
        )
    },
    layout="patientNNN_frameNN.h5",
    cases=cases,
    write_fixture=write_fixture,
)
