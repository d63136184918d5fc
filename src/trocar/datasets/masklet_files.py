"""A case's masklets in a folder, with where everything came from and what to look at.

masks.json       the masks as COCO run-length codes, with the masklets' classes
masklets.json    the source, the settings, what became of class names, and each masklet's history
review.csv       what to look at, the most suspicious frame first
review.png       the contact sheet of those frames
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trocar import __version__
from trocar.datasets.case import Case, Mask
from trocar.datasets.corrections import Corrections
from trocar.datasets.dataset import Dataset
from trocar.datasets.masklet_review import suspicions, write_flags, write_sheet
from trocar.datasets.masklets import DEFAULTS, MaskletBuilder, MaskletSettings
from trocar.formats.mask_files import read_masks
from trocar.formats.mask_set import MaskSet, ObjectInfo
from trocar.formats.rle import MaskJournal, write_rle
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource

KIND = "trocar-masklets"
RECORD = "masklets.json"

Progress = Callable[[int, int], None]
"""Told (frames done, frames to do)."""


@dataclass(frozen=True)
class MaskletReport:
    """What was written.

    Args:
        folder: where.
        masklets: masklet id -> class.
        frames: number of frames with truth.
        flags: how many things there are to look at, on how many frames.
        unknown_names: names that the table does not know -> the nearest that it knows, "" where none is near.
    """

    folder: Path
    masklets: Mapping[int, str]
    frames: int
    flags: tuple[int, int]
    unknown_names: Mapping[str, str]


def write_masklets(
    folder: Path,
    dataset: Dataset,
    case: Case,
    settings: MaskletSettings = DEFAULTS,
    corrections: Sequence[MaskSet] = (),
    progress: Progress | None = None,
) -> MaskletReport:
    """Reconstruct a case's masklets and write them to a folder, which is there as a whole or not at all.

    An earlier result in the folder is replaced. With corrections it is read first: their ids are those that it has,
    and masklets keep them. Give all corrections each time: what an earlier run was given is not kept.

    Args:
        folder: where to write.
        dataset: says what the case's ids stand for, and is named in the record.
        case: frames with truth. Pixels to be ignored are not masks, and so not part of the result.
        settings: see there.
        corrections: sets of corrected masks by masklet ids, laid on the case's source (`read_masks(path,
            source=case.open())`); of the same object on the same frame the last one counts.
        progress: told how far it is.

    Raises:
        ValueError: the frames do not follow one another, the folder holds something else, or corrections are of frames
            without truth.
        FileNotFoundError: a file of the case is missing.
        OSError: the disk is full.
    """
    source = case.open()
    if not getattr(source, "ordered", True) and len(source) > 1:
        raise ValueError(f"{case.name} is a set of pictures: masklets need frames that follow one another")
    corrected = Corrections(corrections)
    if outside := sorted(set(corrected.frames) - set(case.annotated_frames)):
        raise ValueError(f"a correction is of frame {outside[0]} of {case.name}, which has no truth: leave it out")
    earlier = _EarlierResult(folder, source) if corrections else None
    builder = MaskletBuilder(
        case.objects, dataset.ids, settings, reserved=frozenset(corrected.ids | (earlier.ids if earlier else set()))
    )
    with _whole_folder(folder) as part:
        journal = MaskJournal(part / "masks.jsonl", source)
        frames = case.annotated_frames
        for count, frame in enumerate(frames, 1):
            truth = case.truth(frame)
            before = earlier.at(frame) if earlier else {}
            journal.append(builder.add(source[frame], truth.masks if truth else {}, corrected.on(frame), before))
            if progress is not None:
                progress(count, len(frames))
        objects = {i: ObjectInfo(name) for i, name in builder.classes.items()}
        write_rle(part / "masks.json", MaskSet(source, lambda: iter(journal), objects))
        flags = builder.flags()
        write_flags(part / "review.csv", flags, source)
        if flags:
            write_sheet(part / "review.png", flags, journal, source)
        journal.finish()
        journal.path.unlink()
        with whole_file(part / RECORD) as temporary:
            record = _record(dataset, case, builder) | {"corrections": [one.on.name for one in corrections]}
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    unknown = {name.given: name.nearest for name in builder.names.values() if name.how == "unknown"}
    return MaskletReport(folder, builder.classes, len(frames), (len(flags), len(suspicions(flags))), unknown)


def _record(dataset: Dataset, case: Case, builder: MaskletBuilder) -> dict[str, Any]:
    """masklets.json: what a person or a program needs to trust a masklet, or to make it again."""
    flags = builder.flags()
    return {
        "kind": KIND,
        "trocar": __version__,
        "set": {"name": dataset.name, "title": dataset.title, "licence": dataset.licence, "citation": dataset.citation},
        "case": case.name,
        "group": case.group,
        "ids": dataset.ids,
        "frames": {"in_source": case.frames, "annotated": len(case.annotated_frames)},
        "settings": asdict(builder.settings),
        "names": [
            {"id": i, "given": one.given, "standard": one.standard, "how": one.how, "nearest": one.nearest}
            for i, one in sorted(builder.names.items())
        ],
        "masklets": [
            {
                "id": i,
                "class": one.class_name,
                "classes": dict(one.classes),
                "frames": one.frames,
                "seen": one.seen.spans,
                "from": [
                    {"id": origin, "name": builder.names[origin].given, "seen": runs.spans}
                    for origin, runs in sorted(one.origins.items())
                ],
                "corrected": one.corrected,
                "flags": [
                    {key: value for key, value in asdict(flag).items() if key != "masklet"}
                    for flag in flags
                    if flag.masklet == i
                ],
            }
            for i, one in sorted(builder.records.items())
        ],
        "review": [{"frame": frame, "suspicion": round(score, 3)} for frame, score in suspicions(flags).items()],
    }


class _EarlierResult:
    """The masks of an earlier result, asked for in ascending order of frames."""

    def __init__(self, folder: Path, source: FrameSource) -> None:
        self.ids: set[int] = set()
        self._masks: Iterator[Any] = iter(())
        if (folder / RECORD).is_file():
            masks = read_masks(folder, "rle", source)
            self.ids, self._masks = set(masks.objects), iter(masks)
        self._next = next(self._masks, None)

    def at(self, frame: int) -> Mapping[int, Mask]:
        while self._next is not None and self._next.frame < frame:
            self._next = next(self._masks, None)
        found: Mapping[int, Mask] = self._next.masks if self._next is not None and self._next.frame == frame else {}
        return found


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `folder` when the block ends well; else nothing is left of it."""
    part, old = (folder.with_name(f".{sign}-{folder.name}") for sign in ("part", "old"))
    if old.is_dir() and not folder.exists():
        os.replace(old, folder)  # a crash came between the two steps below
    if folder.exists() and not (folder / RECORD).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} was there before, from something else: choose another output folder")
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
