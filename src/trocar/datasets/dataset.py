"""Dataset: what is known about a published set of data, and how its files become cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trocar.datasets.case import Case


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Args:
        about: what it is, and who made the split.
        cases: how many cases the owners publish in it; None where nobody says.
        names: the cases in it by name, where the owners list them.
        reported: whether results are reported on it, by its owners or in tables that `trocar.bench` repeats. Nothing
            may be chosen by it: the best weights of a run, thresholds, temperatures.
    """

    about: str
    cases: int | None = None
    names: tuple[str, ...] = ()
    reported: bool = False


@dataclass(frozen=True)
class Dataset:
    """A published set of data.

    Args:
        name: its key in `DATASETS`.
        title: its published name.
        frames: what a case is: one picture, a video whose frames follow one another, or a volume.
        ids: what an object id stands for: "classes" (all that belongs to a class is one object), "instances" (a thing
            on one frame; the same thing has any id on the next), "masklets" (one thing throughout).
        licence: as its owners state it.
        obtain: where to ask for it or download it, and what has to be signed.
        citation: the paper to cite.
        classes: class id -> name; empty where each case brings its own.
        splits: name -> what it is.
        layout: the files that `cases` reads, as a tree of text.
        cases: (folder, split) -> its cases in the order of their names; `UnknownSplit` and `MissingData` are raised
            by `Dataset.read`, a missing or damaged file when it is read.
        write_fixture: makes a tiny set of made-up pictures in the same layout, for tests.
        folder: where it lies in the folder of all data; its name unless stated.
        overlapping_splits: whether a case may lie in several splits, as with cross-validation.
        checksums: file as it is downloaded -> "md5:..." or "sha256:...", where the owners publish them.
    """

    name: str
    title: str
    frames: Literal["picture", "video", "volume"]
    ids: Literal["classes", "instances", "masklets"]
    licence: str
    obtain: str
    citation: str
    classes: Mapping[int, str]
    splits: Mapping[str, Split]
    layout: str
    cases: Callable[[Path, str], Iterator[Case]]
    write_fixture: Callable[[Path], None]
    folder: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    overlapping_splits: bool = False

    def __post_init__(self) -> None:
        if not self.folder:
            object.__setattr__(self, "folder", self.name)

    def read(self, root: Path, split: str) -> list[Case]:
        """The cases of one split in the set's own folder; no pixels are read.

        Raises:
            ValueError: there is no such split.
            FileNotFoundError: `root`, or something that the split is listed in, is missing, or it holds no case.
        """
        if split not in self.splits:
            raise ValueError(f"{self.name} has no split {split!r}: choose from {', '.join(self.splits)}")
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is not a folder: put {self.title} there ({self.obtain})")
        found = list(self.cases(root, split))
        if not found:
            raise FileNotFoundError(
                f"{root} holds no case of split {split!r} of {self.title}; expected:\n{self.layout}"
            )
        return found
