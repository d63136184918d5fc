"""EndoVis 2017, robotic instrument segmentation: 8 porcine procedures with seven types of instrument, at 2 Hz.

Each folder under ground_truth is one instrument, whose grey levels are its parts; all that is not black counts here,
and left and right instruments of one type are one object. Frames of 1920 x 1080 have borders: as the owners say, the
camera's picture is the 1280 x 1024 pixels from column 320 and row 28, and that is what is read. The truth of the test
frames is in one grey picture a frame, whose values are taken for types, as published readers do; eight of the ten test
cases go on where a training case ends. Folds are those of Shvets et al. 2018: "foldN" is what is held out,
"foldN_train" the six others. SA-SV tests on three videos of 300 frames and does not say which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case, FrameTruth, Mask
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import Palette, read_values
from trocar.datasets.picture_cases import Size, case_of_pictures, matched, picture_case, pictures
from trocar.frames import Frame, FrameSource
from trocar.geometry import Geometry

CLASSES = {
    1: "bipolar forceps",
    2: "prograsp forceps",
    3: "large needle driver",
    4: "vessel sealer",
    5: "grasping retractor",
    6: "monopolar curved scissors",
    7: "other instrument",
}
BORDERED = (1080, 1920)
CAMERA = np.s_[28:1052, 320:1600]
FOLDS = ((1, 3), (2, 5), (4, 8), (6, 7))
TYPES = Palette({number: number for number in (0, *CLASSES)})
Pixels = TypeVar("Pixels", NDArray[np.uint8], Mask)


def _names(numbers: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"instrument_dataset_{number}" for number in numbers)


def _splits() -> Mapping[str, Split]:
    every = tuple(range(1, 9))
    splits = {"train": Split("the owners' training frames: 225 of each procedure", 8, _names(every), reported=True)}
    for number, fold in enumerate(FOLDS):
        rest = tuple(one for one in every if one not in fold)
        about = "of four folds by procedure, Shvets et al. 2018"
        splits[f"fold{number}"] = Split(f"held out, {number + 1} {about}", 2, _names(fold), reported=True)
        splits[f"fold{number}_train"] = Split(f"trained on, {number + 1} {about}", 6, _names(rest))
    return splits | {
        "test": Split("the owners' test frames: 8 x 75, which go on from training, and 2 x 300", 10, reported=True)
    }


SPLITS = _splits()


def cases(root: Path, split: str) -> Iterator[Case]:
    for name in SPLITS[split].names or _names(tuple(range(1, 11))):
        number = int(name.rpartition("_")[2])
        part = "1_4" if number <= 4 else "5_8" if number <= 8 else "9_10"
        if split == "test":
            frames = root / f"instrument_{part}_testing" / name / "left_frames"
            truths = root / "instrument_2017_test" / "instrument_2017_test" / name / "gt" / "TypeSegmentation"
            if frames.is_dir() or truths.is_dir():
                images, labels = matched(frames / "*.png", truths / "*.png")
                yield _camera(picture_case(f"test/{name}", images, labels, TYPES.read, CLASSES, group=name))
        elif (folder := root / f"instrument_{part}_training" / name).is_dir():
            yield _camera(_procedure(folder))


def _procedure(folder: Path) -> Case:
    """A procedure whose truth is a folder of pictures for each instrument."""
    instruments = {path: _type_of(path) for path in sorted((folder / "ground_truth").glob("*")) if path.is_dir()}
    if not instruments:
        raise FileNotFoundError(f"{folder / 'ground_truth'} holds no folder of an instrument: is the set complete?")
    frames = folder / "left_frames"
    names = {path.name for place in (frames, *instruments) for path in pictures(place)}
    images = [frames / name for name in sorted(names)]

    def truth(frame: int, size: Size) -> FrameTruth:
        masks: dict[int, Mask] = {}
        for instrument, number in instruments.items():
            path = instrument / images[frame].name
            mask = read_values(path) > 0
            if mask.shape != size:
                raise ValueError(f"{path} is not of the size of {images[frame]}: fetch both again")
            masks[number] = masks[number] | mask if number in masks else mask
        return FrameTruth(masks)

    return case_of_pictures(folder.name, images, truth, CLASSES)


def _type_of(folder: Path) -> int:
    """The class of a folder such as Left_Prograsp_Forceps_labels or Other_labels."""
    words = folder.name.lower().replace("_", " ")
    for number, name in CLASSES.items():
        if name.removesuffix(" instrument") in words:
            return number
    raise ValueError(f"{folder} is of no known instrument: expected is one of {', '.join(CLASSES.values())}")


class _Camera:
    """Frames without the borders."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self.name = source.name
        self.rate_hz: float | None = 2.0
        self.geometry = Geometry(_inner(np.zeros(source.geometry.size, np.uint8)).shape[:2])

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Frame:
        frame = self._source[index]
        return replace(frame, image=_inner(frame.image))


def _camera(case: Case) -> Case:
    """The case without the borders."""
    truth_of: Callable[[int], FrameTruth | None] = case.truth

    def truth(frame: int) -> FrameTruth | None:
        found = truth_of(frame)
        return found and FrameTruth({number: _inner(mask) for number, mask in found.masks.items()})

    return replace(case, open=lambda: _Camera(case.open()), truth=truth)


def _inner(pixels: Pixels) -> Pixels:
    """What the camera saw of a picture; one without borders stays as it is."""
    return pixels[CAMERA] if pixels.shape[:2] == BORDERED else pixels


def write_fixture(root: Path) -> None:
    folders = ("Left_Prograsp_Forceps_labels", "Right_Prograsp_Forceps_labels", "Other_labels")
    for number in range(1, 9):
        place = root / f"instrument_{'1_4' if number <= 4 else '5_8'}_training" / f"instrument_dataset_{number}"
        images, labels = made_up(2, (1, 2, 3), seed=number)
        for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
            save(place / "left_frames" / f"frame{frame:03d}.png", image)
            for one, name in enumerate(folders, 1):
                save(place / "ground_truth" / name / f"frame{frame:03d}.png", (truth == one).astype(np.uint8) * 10)
    for number, part in ((1, "1_4"), (9, "9_10")):
        name = f"instrument_dataset_{number}"
        images, labels = made_up(2, (2, 6), seed=number + 20)
        truths = root / "instrument_2017_test" / "instrument_2017_test" / name / "gt" / "TypeSegmentation"
        for frame, (image, truth) in enumerate(zip(images, labels, strict=True), 225):
            save(root / f"instrument_{part}_testing" / name / "left_frames" / f"frame{frame:03d}.png", image)
            save(truths / f"frame{frame:03d}.png", truth)


DATASET = Dataset(
    name="endovis17",
    title="EndoVis 2017, robotic instrument segmentation",
    frames="video",
    ids="classes",
    licence="the challenge's rules, to which one consents when joining it",
    obtain="https://endovissub2017-roboticinstrumentsegmentation.grand-challenge.org/Data/ (an account)",
    citation="Allan et al., 2017 robotic instrument segmentation challenge, arXiv 1902.06426, 2019",
    classes=CLASSES,
    splits=SPLITS,
    layout="instrument_1_4_training/instrument_dataset_N/left_frames/frameNNN.png  (5_8 alike)\n"
    "instrument_1_4_training/instrument_dataset_N/ground_truth/INSTRUMENT_labels/frameNNN.png\n"
    "instrument_1_4_testing/instrument_dataset_N/left_frames/frameNNN.png  (5_8, 9_10 alike)\n"
    "instrument_2017_test/instrument_2017_test/instrument_dataset_N/gt/TypeSegmentation/frameNNN.png",
    cases=cases,
    write_fixture=write_fixture,
    overlapping_splits=True,
)
