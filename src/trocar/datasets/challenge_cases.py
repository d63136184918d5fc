"""The `.npz` files of the challenge "Segment anything in medical images on laptop" (CVPR 2024), as cases.

The SAM 2 medical benchmark ran on its validation files: `imgs/NAME.npz` with pictures and boxes, and `gts/NAME.npz`
with the truth; the training files hold all in one, which is read where there is no folder `gts`. The name says the
dimension and the modality (2DBox_MR_0133). Box number i belongs to label i.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case
from trocar.datasets.listing import in_order, names_between
from trocar.prompts import Box, Box3d

LICENCE = "of the public sets that the files were made from; stated by the challenge on registration"
OBTAIN = "https://www.codabench.org/competitions/1847/"
CITATION = "Ma et al., Segment anything in medical images and videos: benchmark and deployment, arXiv:2408.03322"

MODALITIES = {
    "CT": ("ct",),
    "Dermoscopy": ("derm",),
    "Endoscopy": ("endo",),
    "Fundus": ("fundus",),
    "Mammography": ("mamm",),
    "Microscopy": ("micro",),
    "MR": ("mr",),
    "OCT": ("oct",),
    "PET": ("pet",),
    "US": ("us", "ultra"),
    "XRay": ("x", "cxr"),
}
"""Modality -> how its code in file names begins; the spelling of some differs between the challenge's parts."""


class MissingArray(ValueError):
    """A file lacks an array."""


@dataclass(frozen=True, eq=False)
class PromptedCase(Case):
    """A case that comes with its prompts.

    Args:
        boxes: reads them: object id -> a box in pixels of a picture, or one around an object of a volume, from its
            first slice to its last; {} where there are none.
    """

    boxes: Callable[[], Mapping[int, Box | Box3d]] = field(default=dict)


def challenge_files(root: Path, dimension: str, modality: str) -> Iterator[tuple[str, Path, Path]]:
    """(name, file with pictures, file with truth) of each case of a modality.

    Raises:
        ValueError: a name of the dimension ("2D" or "3D") without a known modality.
    """
    images, labels = root / "imgs", root / "gts"
    if not labels.is_dir():
        labels = images
    there = names_between(images, dimension, ".npz") + names_between(labels, dimension, ".npz")
    for rest in in_order(there):
        name = dimension + rest
        if modality_of(name) == modality:
            yield name, images / f"{name}.npz", labels / f"{name}.npz"


def modality_of(name: str) -> str:
    """The modality in the name of a challenge file.

    Raises:
        ValueError: it names none that is known.
    """
    code = name.partition("_")[2].lower()
    for modality, beginnings in MODALITIES.items():
        if code.startswith(beginnings):
            return modality
    raise ValueError(
        f"{name}.npz does not say its modality: expected 2DBox_MR_0001, with one of {', '.join(MODALITIES)}"
    )


def stored_boxes(path: Path) -> dict[int, Box | Box3d]:
    """The boxes in a file: rows of x0, y0, x1, y1, or of x0, y0, z0, x1, y1, z1; {} where it has none.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or boxes of another layout.
    """
    try:
        rows = read_array(path, "boxes")
    except MissingArray:
        return {}
    if rows.ndim != 2 or rows.shape[1] not in (4, 6) or rows.dtype.kind not in "iuf":
        raise ValueError(f"{path}: boxes is {rows.dtype} {rows.shape}, not rows of 4 or 6 numbers")
    return {number: _box(*row) for number, row in enumerate(rows.tolist(), start=1)}


def _box(*sides: float) -> Box | Box3d:
    x0, y0, *first, x1, y1 = sides if len(sides) == 4 else sides[:5]
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)  # both ends are included, and a box is never empty
    return Box3d(x0, y0, int(first[0]), x1, y1, int(sides[5])) if first else Box(x0, y0, x1, y1)


def boxed_objects(path: Path) -> Mapping[int, str]:
    """Object id -> "target", one for each box; all that a label of one byte may be where there is no box to count."""
    try:
        count = len(stored_boxes(path))
    except (OSError, ValueError):
        count = 0  # opening it says what is wrong
    return dict.fromkeys(range(1, (count or 255) + 1), "target")


def read_array(path: Path, key: str) -> NDArray[Any]:
    """An array of a file.

    Raises:
        FileNotFoundError, ValueError: the file is missing or damaged.
        MissingArray: it lacks the array.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: is the set complete?")
    try:
        with np.load(path, allow_pickle=False) as file:  # pickles could run anything
            array: NDArray[Any] = file[key]
            return array
    except KeyError as error:
        raise MissingArray(f"{path} has no array {key!r}: is it the set's own file?") from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as npz: it is damaged or of another kind; fetch it again") from error


def shape_of(path: Path, key: str) -> tuple[int, ...]:
    """The shape of an array of a file, from its header; () where that cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape: tuple[int, ...] = read(member)[0]
            return shape
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return ()


def write_challenge(
    root: Path,
    name: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    spacing: tuple[float, float, float] | None = None,
) -> None:
    """Write a tiny case in the layout of the validation files, with the tight box of each label."""
    boxes = []
    for number in range(1, int(labels.max()) + 1):
        where = np.argwhere(labels == number)[:, ::-1]  # x, y[, z]
        boxes.append([*where.min(axis=0), *where.max(axis=0)])
    extra = {} if spacing is None else {"spacing": np.array(spacing)}
    for folder, arrays in (("imgs", {"imgs": images, "boxes": np.array(boxes)}), ("gts", {"gts": labels})):
        (root / folder).mkdir(parents=True, exist_ok=True)
        np.savez_compressed(root / folder / f"{name}.npz", **arrays, **extra)  # type: ignore[arg-type]
