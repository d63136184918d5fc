"""Your own videos and volumes with masklets, as `trocar segment` writes them: a folder a case.

    SPLIT/CASE/frames/         pictures; or one file: frames.mp4, frames.nii.gz or another kind that is read
    SPLIT/CASE/masks.json      what `trocar segment SPLIT/CASE/frames --out SPLIT/CASE` wrote, in any of its formats:
                               masks.json, masks/NAME.png, objects/ID/NAME.png, youtube-vis.json, masks.nii.gz ...
    SPLIT/CASE/classes.json    {"1": "hook", "2": "gallbladder"}, where the masks have no names; one beside the splits
                               is for all cases

    SPLIT/images/NAME.jpg      or pictures, and label pictures of the same names: each value above 0 is an object, black
    SPLIT/masks/NAME.png       and white is one; a folder in both is a video (`own_pictures.py`). Without SPLIT the last
                               fifth of the names is val

SPLIT is train, val or test. CASE may lie in folders (CIS-Test/VID14), which are part of its name, so a benchmark of
several subsets is one such set. An id stays with a thing throughout a case. Frames that have no PNG, or no entry in
masks.json, count as not annotated. Of masks in several formats those count that come first in the order masks.json,
masks/, other formats, masks.jsonl (the journal). That no patient lies in two splits is for you to see to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save, save_video
from trocar.datasets.found_objects import FoundObjects
from trocar.datasets.own_pictures import two_folders
from trocar.formats.coco import load_document, naming_fault
from trocar.formats.images import images_in
from trocar.formats.mask_files import mask_format, read_masks
from trocar.formats.mask_set import Canvas, ObjectInfo
from trocar.formats.output import JOURNAL, MaskOutput
from trocar.formats.placing import lay_on
from trocar.formats.table import FORMATS, open_source
from trocar.formats.video import EXTENSIONS as VIDEOS
from trocar.formats.video_index import build_index
from trocar.frames import FrameSource
from trocar.masks import FrameMasks, Rle, from_label_map, from_rle, to_rle

UNNAMED = "object"
SPLITS = {name: Split("yours", reported=name == "test") for name in ("train", "val", "test")}


def cases(root: Path, split: str) -> Iterator[Case]:
    top = root / split
    folders = [Path(path) for path, _, _ in os.walk(top, followlinks=True)]
    for folder in sorted(folder for folder in folders if folder != top):
        found = _frames(folder)
        if found is not None:
            yield _case(root, folder.relative_to(top).as_posix(), found)
    yield from two_folders(root, split, _class_names(root, top), UNNAMED)


def _frames(folder: Path) -> Path | None:
    """The folder `frames`, or the one file frames.*, of a case."""
    found = [path for path in sorted(folder.glob("frames*")) if path.is_dir() or path.name.startswith("frames.")]
    return found[0] if found else None


def _masks(folder: Path) -> Path:
    outputs = [info.output for info in FORMATS.values() if info.output and info.read_masks is not None]
    for name in dict.fromkeys(("masks.json", "masks", *outputs, JOURNAL)):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(
        f"{folder} has frames and no masks: put masks.json or another of {', '.join(outputs)} there"
    )


def _case(root: Path, name: str, frames: Path) -> Case:
    """A case; where something is wrong with it already, opening it says so and the others can be read."""
    try:
        masks, class_names = _masks(frames.parent), _class_names(root, frames.parent)
        length, annotated = _extent(frames, masks)
    except (ValueError, OSError) as error:
        fault = error

        def refuse() -> FrameSource:
            raise fault

        return Case(name, 0, refuse, lambda frame: None, {}, ())
    stored, known = _Stored(frames, masks, class_names), None if annotated is None else frozenset(annotated)

    def truth(frame: int) -> FrameTruth | None:
        return stored.truth(frame) if known is None or frame in known else None

    return Case(name, length, lambda: open_source(frames), truth, FoundObjects(stored.objects), annotated)


def _class_names(root: Path, folder: Path) -> dict[int, str]:
    path = next((one / "classes.json" for one in (folder, root) if (one / "classes.json").is_file()), None)
    if path is None:
        return {}
    with naming_fault(path, "table of class names"):
        return {int(number): str(name) for number, name in load_document(path, "a table of class names", ()).items()}


class _Stored:
    """The masks of a case, read whole when first asked for and kept as run-length codes."""

    def __init__(self, frames: Path, masks: Path, class_names: Mapping[int, str]) -> None:
        self._frames, self._masks, self._class_names = frames, masks, class_names

    @cached_property
    def _codes(self) -> tuple[dict[int, dict[int, Rle]], Mapping[int, ObjectInfo]]:
        laid = read_masks(self._masks, source=open_source(self._frames))
        return {one.frame: {i: to_rle(mask) for i, mask in one.masks.items()} for one in laid}, laid.objects

    def truth(self, frame: int) -> FrameTruth:
        """What is true of an annotated frame."""
        codes, _ = self._codes
        return FrameTruth({number: from_rle(code) for number, code in codes.get(frame, {}).items()})

    def objects(self) -> dict[int, str]:
        """The ids that occur, and their names."""
        try:
            codes, infos = self._codes
        except (ValueError, OSError):
            return {}
        names = {i: info.name for i, info in infos.items() if info.name} | dict(self._class_names)
        return {i: names.get(i, UNNAMED) for i in sorted({number for own in codes.values() for number in own})}


def _extent(frames: Path, masks: Path) -> tuple[int, tuple[int, ...] | None]:
    """How many frames there are, and which are annotated (None for all), without decoding any."""
    files = [path.name for path in images_in(frames)] if frames.is_dir() else []
    length = len(files) if files else len(build_index(frames)) if frames.suffix in VIDEOS else len(open_source(frames))
    found = read_masks(masks)
    if found.on.geometry.affine is not None:
        return length, None  # a volume of labels has all slices
    numbers = _recorded(masks) if mask_format(masks) == "rle" else list(range(len(found.on)))
    blank = replace(found, frames=lambda: (FrameMasks(number, {}) for number in numbers))
    laid = lay_on(blank, Canvas(str(frames), found.on.geometry, length, files))
    return length, tuple(one.frame for one in laid)


def _recorded(masks: Path) -> list[int]:
    """The frames that a document or journal of run-length codes has an entry for."""
    with naming_fault(masks, "file of masks"):
        if masks.suffix == ".jsonl":
            entries: list[dict[str, Any]] = [
                json.loads(line) for line in masks.read_text(encoding="utf-8").splitlines()
            ]
        else:
            entries = load_document(masks, "a file of masks", ("frames",))["frames"]
        return sorted({int(entry["frame"]) for entry in entries if "frame" in entry})


def write_fixture(root: Path) -> None:
    for place, (case, output) in enumerate({"train/a": "png", "val/b": "rle", "test/c/d": "object-png"}.items()):
        images, labels = made_up(3, (1, 2), seed=place)
        folder = root / case
        for number, image in enumerate(images):
            if output != "rle":
                save(folder / "frames" / f"{number:05d}.jpg", image)
        if output == "rle":
            save_video(folder / "frames.mp4", images, 24)
        source = open_source(_frames(folder) or folder)
        names = {1: ObjectInfo("hook"), 2: ObjectInfo("gallbladder")}
        with MaskOutput(folder, source, [output], objects=names) as masks:
            for number in (0, 2):
                masks.write(from_label_map(labels[number], number))
    (root / "classes.json").write_text('{"1": "hook", "2": "gallbladder"}\n')


DATASET = Dataset(
    name="own-data",
    title="Your own data with masklets",
    frames="video",
    ids="masklets",
    licence="yours",
    obtain="https://jinlab-imvr.github.io/SAM2S for SA-SV, when it is out; else these are files of your own",
    citation="none; SA-SV: Liu et al., SAM2S: segment anything in surgical videos via semantic long-term tracking, "
    "arXiv 2511.16618, 2025",
    classes={},
    splits=SPLITS,
    layout="SPLIT/CASE/frames/NAME.jpg  (or SPLIT/CASE/frames.mp4)\n"
    "SPLIT/CASE/masks.json  (or masks/NAME.png, objects/ID/NAME.png and others)\n"
    "or images/NAME.jpg and masks/NAME.png, in SPLIT or without\n"
    "classes.json  (or SPLIT/CASE/classes.json)",
    cases=cases,
    write_fixture=write_fixture,
)
