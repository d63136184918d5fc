"""SA-V: videos of everyday things with masklets drawn by people.

val and test are pictures at 24 frames a second, with a black and white picture an object on every fourth frame; masks
may overlap. train is video files, with the masklets of a video in a JSON file as run-length codes, for every fourth
frame too; its automatic masklets (*_auto.json) are not read. The object folder 000, or masklet_id 0, is object 1 here.
That the archives of train unpack to sav_train/sav_NNN/ is inferred from the owners' script that extracts frames, which
looks one folder down. The owners publish no checksums.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save, save_video
from trocar.datasets.found_objects import FoundObjects
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import Size, case_of_pictures, pictures
from trocar.formats.coco import load_document, naming_fault
from trocar.formats.images import natural_key
from trocar.formats.video import VideoSource
from trocar.masks import from_rle, to_rle

EVERY = 4
"""Every fourth frame is annotated, beginning with the first."""

WHAT = "file of SA-V masklets"
SPLITS = {
    "train": Split("official: masklets drawn by people", 50583),
    "val": Split("official", 155, reported=True),
    "test": Split("official", 150, reported=True),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    folder = root / f"sav_{split}"
    if split == "train":
        documents = sorted(folder.glob("*/*_manual.json"), key=lambda path: natural_key(path.name))
        yield from (_video_case(path) for path in documents)
        return
    listed = folder / f"sav_{split}.txt"
    if not listed.is_file():
        raise FileNotFoundError(f"{listed} is missing: is the set complete?")
    for name in sorted(listed.read_text(encoding="utf-8").split()):
        yield _picture_case(folder, name)


def _picture_case(folder: Path, name: str) -> Case:
    masks: dict[int, dict[str, Path]] = {}  # object -> frame's name -> file
    for path in pictures(folder / "Annotations_6fps" / name, "*/*.png"):
        masks.setdefault(int(path.parent.name) + 1, {})[path.stem] = path
    images = pictures(folder / "JPEGImages_24fps" / name, "*.jpg")
    annotated = {stem for own in masks.values() for stem in own}
    # A frame that is missing gets its place all the same, so that reading it says which.
    names = sorted({path.stem for path in images} | annotated, key=natural_key)

    def truth(frame: int, size: Size) -> FrameTruth:
        files = {number: own[names[frame]] for number, own in masks.items() if names[frame] in own}
        found = {}
        for number, path in files.items():
            for mask in read_binary(path).masks.values():
                if mask.shape != size:
                    raise ValueError(f"{path} is {mask.shape} and its frame {size}: fetch both again")
                found[number] = mask
        return FrameTruth(found)

    known = tuple(number for number, stem in enumerate(names) if stem in annotated)
    objects = dict.fromkeys(sorted(masks), "object")
    return case_of_pictures(name, [images[0].with_stem(stem) for stem in names], truth, objects, known)


def _video_case(document: Path) -> Case:
    name = document.name.removesuffix("_manual.json")
    video, frames = document.with_name(f"{name}.mp4"), _frame_count(document)

    def truth(frame: int) -> FrameTruth | None:
        if frame % EVERY:
            return None
        said = _load(document)
        with naming_fault(document, WHAT):
            size = (int(said["video_height"]), int(said["video_width"]))
            masks = {}
            for number, code in zip(said["masklet_id"], said["masklet"][frame // EVERY], strict=True):
                if code is not None:
                    masks[number + 1] = from_rle(code)
                    if masks[number + 1].shape != size:
                        raise ValueError(f"a masklet is {code['size']} and its video {list(size)}")
        return FrameTruth({number: mask for number, mask in masks.items() if mask.any()})

    def look() -> dict[int, str]:
        try:
            return {number + 1: "object" for number in _load(document)["masklet_id"]}
        except (OSError, ValueError):
            return {}

    annotated = tuple(range(0, frames, EVERY))
    return Case(name, frames, lambda: VideoSource(video), truth, FoundObjects(look), annotated)


def _load(path: Path) -> dict[str, Any]:
    return load_document(path, f"a {WHAT}", ("masklet", "masklet_id", "video_height", "video_width"))


def _frame_count(document: Path) -> int:
    """The video's length as its document says near the beginning; the masklets behind it may be megabytes."""
    with document.open(encoding="utf-8", errors="replace") as file:
        found = re.search(r'"video_frame_count":\s*([\d.]+)', file.read(4096))
    if found:
        return int(float(found.group(1)))
    with naming_fault(document, WHAT):
        return int(_load(document)["video_frame_count"])


def write_fixture(root: Path) -> None:
    images, labels = made_up(9, (1, 2), seed=5)
    folder = root / "sav_train" / "sav_000"
    save_video(folder / "sav_000001.mp4", images, 24)
    codes = [[to_rle(truth == number) for number in (1, 2)] for truth in labels[::EVERY]]
    facts = {"video_id": "sav_000001", "video_frame_count": 9.0, "video_height": 48.0, "video_width": 64.0}
    manual = {"video_split": "train", "masklet": codes, "masklet_id": [0, 1], "masklet_num": 2}
    (folder / "sav_000001_manual.json").write_text(json.dumps(facts | manual))
    for place, split in enumerate(("val", "test")):
        images, labels = made_up(6, (1, 2), seed=place)
        folder, name = root / f"sav_{split}", f"sav_{place + 2:06d}"
        for number, (image, truth) in enumerate(zip(images, labels, strict=True)):
            save(folder / "JPEGImages_24fps" / name / f"{number:05d}.jpg", image)
            for one in (1, 2) if number % EVERY == 0 else ():
                path = folder / "Annotations_6fps" / name / f"{one - 1:03d}" / f"{number:05d}.png"
                save(path, ((truth == one) * 255).astype("uint8"))
        (folder / f"sav_{split}.txt").write_text(f"{name}\n")


DATASET = Dataset(
    name="sa-v",
    title="SA-V",
    frames="video",
    ids="masklets",
    licence="CC BY 4.0",
    obtain="https://ai.meta.com/datasets/segment-anything-video-downloads/",
    citation="Ravi et al., SAM 2: segment anything in images and videos, ICLR 2025",
    classes={},
    splits=SPLITS,
    layout="sav_train/sav_NNN/VIDEO.mp4  sav_train/sav_NNN/VIDEO_manual.json\n"
    "sav_{val,test}/sav_{val,test}.txt\n"
    "sav_{val,test}/JPEGImages_24fps/VIDEO/NNNNN.jpg\n"
    "sav_{val,test}/Annotations_6fps/VIDEO/OBJECT/NNNNN.png",
    cases=cases,
    write_fixture=write_fixture,
)
