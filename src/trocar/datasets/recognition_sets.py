"""SurgRec's 16 downstream sets by name: facts from `recognition_sets.toml`, clips from the files on disk."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from trocar.datasets.recognition_clip import RecognitionClip, check_parts
from trocar.datasets.recognition_layouts import LAYOUTS, FoundClip, part_of, released_rows
from trocar.datasets.recognition_splits import OWN_SPLIT, PARTS, assign_cases, group_labels, read_own_split

DOMAINS = ("cataract", "robotic", "endoscopy", "laparoscopy")
_RELEASED_PARTS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class RecognitionSet:
    """One downstream set.

    Args:
        name: its key in `recognition_sets`.
        title: its published name.
        domain: one of `DOMAINS`.
        task: what its classes are.
        licence: as its owners state it.
        obtain: where to ask for it or download it.
        citation: the paper to cite.
        classes: their names, in the order of SurgRec's released numbers.
        split: who made it.
        split_from: in a sentence.
        layout: a key of `LAYOUTS`.
        files: what that reader has to know.
        confirmed: whether the layout was seen in the owners' documents or in public code that reads their files.
        note: what else one has to know.
        released: SurgRec's released split: "folder", "case" (a pattern), and "classes" where they differ.
        train, validation, test: patterns of case ids, where owners or community say which.
    """

    name: str
    title: str
    domain: str
    task: str
    licence: str
    obtain: str
    citation: str
    classes: Sequence[str]
    split: Literal["official", "community", "ours"]
    split_from: str
    layout: str
    files: Mapping[str, Any]
    confirmed: bool
    note: str
    released: Mapping[str, Any]
    train: Sequence[str] = field(default=())
    validation: Sequence[str] = field(default=())
    test: Sequence[str] = field(default=())

    def read(self, root: Path) -> dict[str, list[RecognitionClip]]:
        """The clips of each part, by their cases; no pixels are read.

        Args:
            root: the set's own folder, as its owners pack it.

        Raises:
            FileNotFoundError: the folder, its labels or a video is missing.
            ValueError: labels are damaged or unknown, a case fits no part, or two parts share a case.
        """
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is not a folder: put {self.title} there ({self.obtain})")
        skipped = set(self.files.get("skip", ()))
        clips = [self._clip(one) for one in LAYOUTS[self.layout](root, self.files) if one.spelt not in skipped]
        if not clips:
            raise FileNotFoundError(f"{root} holds no clip of {self.title}: {self.note or self.obtain}")
        labels = group_labels(clips)
        own = root / OWN_SPLIT
        if own.is_file():
            parts = read_own_split(own)
            if unknown := sorted(set(labels) - set(parts)):
                raise ValueError(f"{own} does not list case {unknown[0]}: give it a part")
        else:
            said = {"train": self.train, "validation": self.validation, "test": self.test}
            parts = assign_cases(self.name, labels, said)
        found = {part: [clip for clip in clips if parts[clip.case] == part] for part in PARTS}
        check_parts(found, self.name)
        return found

    def read_released(self, splits: Path, root: Path | None = None) -> dict[str, list[RecognitionClip]]:
        """The clips of SurgRec's released split, whose videos were cut into one file a clip.

        Args:
            splits: the release's folder of manifests.
            root: the folder that its paths begin in; a clip's video is a relative path without one.

        Raises:
            FileNotFoundError: no manifest is there.
            ValueError: a manifest is damaged. Whether parts share cases is not asked: see `check_parts`.
        """
        found = {}
        for part, file in _RELEASED_PARTS.items():
            rows = released_rows(splits / self.released["folder"] / f"{file}.csv")
            found[part] = [self._released_clip(Path(path), label, root) for path, label in rows]
        return found

    @property
    def released_classes(self) -> Sequence[str]:
        """The classes of SurgRec's released split."""
        names: Sequence[str] = self.released.get("classes", self.classes)
        return names

    def _released_clip(self, path: Path, label: int, root: Path | None) -> RecognitionClip:
        if label >= len(self.released_classes):
            raise ValueError(f"{self.name}: {path} has class {label} and there are {len(self.released_classes)}")
        case = part_of(self.released["case"], path.as_posix(), path)
        return RecognitionClip(root / path if root else path, 0, None, label, case, case)

    def _clip(self, found: FoundClip) -> RecognitionClip:
        codes: Sequence[str] = self.files["codes"]
        if found.spelt not in codes:
            near = difflib.get_close_matches(found.spelt, codes, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"{self.name}: {found.video} has the class {found.spelt!r}, which is none of the set's: "
                f"did you mean {near!r}?"
            )
        if found.stop is not None and found.stop <= found.start:
            raise ValueError(f"{self.name}: a clip of {found.video} has no frame ({found.start} to {found.stop})")
        label = codes.index(found.spelt)
        return RecognitionClip(found.video, found.start, found.stop, label, found.case, found.source)


@cache
def recognition_sets() -> Mapping[str, RecognitionSet]:
    """All sets by name, in the order of SurgRec's domains."""
    text = (files("trocar.datasets") / "recognition_sets.toml").read_text(encoding="utf-8")
    return {name: RecognitionSet(name, **facts) for name, facts in tomllib.loads(text).items()}


def recognition_set(name: str) -> RecognitionSet:
    """One set.

    Raises:
        ValueError: there is none of this name.
    """
    known = recognition_sets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ValueError(f"there is no recognition set {name!r}: did you mean {near!r}? (all: {', '.join(known)})")
    return known[name]
