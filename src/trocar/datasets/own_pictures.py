"""Own data in two folders, `images` and `masks`, with pictures and label pictures of the same names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.found_objects import FoundObjects
from trocar.datasets.palette import read_values
from trocar.datasets.picture_cases import picture_case
from trocar.formats.images import EXTENSIONS, natural_key

VAL_PART = 5  # where there are no splits, one case in so many is val
MOST_IDS = 64  # values of a label picture; a grey picture has more


def two_folders(root: Path, split: str, class_names: Mapping[int, str], unnamed: str) -> Iterator[Case]:
    """The cases of `images` and `masks`, in the folder of a split or, where there are no splits, in `root`.

    Pictures that lie in `images` itself are a case each; a folder in it is a video, whose pictures follow one another
    by their names. Without splits the first four fifths of the cases are train and the rest val; there is no test.
    """
    if (root / split / "images").is_dir():
        yield from _cases(root / split, class_names, unnamed)
    elif (root / "images").is_dir():
        found = list(_cases(root, class_names, unnamed))
        cut = len(found) - len(found) // VAL_PART
        yield from {"train": found[:cut], "val": found[cut:]}.get(split, [])


def _cases(folder: Path, class_names: Mapping[int, str], unnamed: str) -> Iterator[Case]:
    images = folder / "images"
    for path in _listed(images):
        yield _case(path.stem, [path], folder / "masks", class_names, unnamed)
    for video in sorted((one for one in images.iterdir() if one.is_dir()), key=lambda one: natural_key(one.name)):
        if frames := _listed(video):
            yield _case(video.name, frames, folder / "masks" / video.name, class_names, unnamed)


def _listed(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")]
    return sorted(found, key=lambda path: natural_key(path.name))


def _case(name: str, frames: list[Path], masks: Path, class_names: Mapping[int, str], unnamed: str) -> Case:
    there = {path.stem: path for path in _listed(masks)} if masks.is_dir() else {}
    labels = [there.get(path.stem) for path in frames]

    def look() -> dict[int, str]:
        ids: set[int] = set()
        for path in labels:
            try:
                ids |= read_labels(path).masks.keys() if path else set()
            except (ValueError, OSError):
                continue  # reading its frame says what is wrong
        return {one: class_names.get(one, unnamed) for one in sorted(ids)}

    return picture_case(name, frames, labels, read_labels, FoundObjects(look))


def read_labels(path: Path) -> FrameTruth:
    """The truth in a label picture: each value above 0 is an object, black and white is one object.

    Raises:
        FileNotFoundError, ValueError: it is missing, damaged, in colour, or no label picture.
    """
    values = read_values(path)
    ids = {int(one) for one in np.unique(values)} - {0}
    if ids == {255}:
        return FrameTruth({1: values == 255})
    if len(ids) > MOST_IDS:
        raise ValueError(
            f"{path} has {len(ids)} different values: a label picture has an object for each value, or 0 and 255; "
            "save it as PNG, without smoothing"
        )
    return FrameTruth({one: values == one for one in sorted(ids)})
