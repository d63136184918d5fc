"""Which case comes next: shares of sources, or levels that are drawn evenly one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trocar.datasets import Dataset
from trocar.datasets.location import locate
from trocar.train.footage import UNNAMED, Footage

Level = Literal["share", "source", "modality", "task", "group"]
OWN_DATA = "own-data"


@dataclass(frozen=True)
class Sampling:
    """How cases are drawn.

    Args:
        balance: levels, the outermost first. At each, one of what is left is drawn evenly: a "source" of `[data]`, a
            "modality", a "task" (the name of a class; the sample then shows objects of it), a "group" (a patient or
            recording); "share" draws a source by its share in `[data]`. MedSAM-2: ["task", "modality"].
        cases: the case in the end: in proportion to its annotated "frames", or "evenly".
        images: what steps on images show: frames of "any" case, or only "pictures" that are no part of a video or
            volume (SAM2S, which draws images and videos 1 : 4: a stage's clip_share 0.8).
        without: names of classes that are not learned, such as "duodenum"; their pixels count as background.
        gathered: whether the pictures of a set whose ids are classes serve as clips, eight different ones in any order
            (MedSAM-2's image sets).
        survey: look into every case before the run: whether it opens, whether any frame shows an object. Off, a case
            is only listed, and what is wrong with it is said when it is drawn.
        split: of the data sets that `[data]` names without one.
        folder: of all data sets; empty for the one that TROCAR_DATA names.
        own_data: folder of the set "own-data", which has train and val in it; empty for "own-data" in that of all.
        cache_mb: decoded frames that are kept in memory.
    """

    balance: tuple[Level, ...] = ("share",)
    cases: Literal["frames", "evenly"] = "frames"
    images: Literal["any", "pictures"] = "any"
    without: tuple[str, ...] = ()
    gathered: bool = False
    survey: bool = True
    split: str = "train"
    folder: str = ""
    own_data: str = ""
    cache_mb: int = 512

    def place(self, dataset: Dataset) -> Path:
        """The folder of a data set.

        Raises:
            FileNotFoundError: it is missing.
        """
        if dataset.name == OWN_DATA and self.own_data:
            folder = Path(self.own_data)
            if not folder.is_dir():
                raise FileNotFoundError(f"sampling.own_data: {folder} is not a folder: give that of your own data")
            return folder
        return locate(dataset.folder, Path(self.folder) if self.folder else None)


@dataclass(frozen=True, eq=False)
class Entry:
    """A case that can be drawn.

    Args:
        source: its key in `[data]`.
        name: of the case.
        open: gives its frames.
        frames: how many are annotated.
        classes: names of the things in it; empty unless tasks are drawn.
        modality: see `trocar.train.modalities`.
        group: its patient or recording.
    """

    source: str
    name: str
    open: Callable[[], Footage]
    frames: int
    classes: tuple[str, ...] = ()
    modality: str = ""
    group: str = ""

    def keys(self, level: Level) -> tuple[str, ...]:
        """What it belongs to at a level; things without a name are one task of their source."""
        if level == "task":
            named = {name for name in self.classes if name not in UNNAMED}
            return (*sorted(named),) if named else (f"{self.source}/",)
        if level == "group":
            return (f"{self.source}/{self.group}",)
        return (self.modality if level == "modality" else self.source,)


class Balanced:
    """Entries drawn level by level.

    Args:
        entries: at least one.
        sampling: the levels.
        shares: of the sources.
    """

    def __init__(self, entries: Sequence[Entry], sampling: Sampling, shares: Mapping[str, float]) -> None:
        self._root = _node(list(entries), sampling.balance, sampling, shares)

    def draw(self, rng: np.random.Generator) -> tuple[Entry, str]:
        """An entry, and the class that it was drawn for; "" where that is none."""
        node, task = self._root, ""
        while isinstance(node, _Inner):
            place = int(np.searchsorted(node.upto, rng.random(), side="right"))
            if node.level == "task" and not node.keys[place].endswith("/"):
                task = node.keys[place]
            node = node.nodes[place]
        return node.entries[int(np.searchsorted(node.upto, rng.random(), side="right"))], task


@dataclass(frozen=True, eq=False)
class _Leaf:
    entries: list[Entry]
    upto: np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class _Inner:
    level: Level
    keys: list[str]
    nodes: list[_Inner | _Leaf]
    upto: np.ndarray[tuple[int], np.dtype[np.float64]]


def _node(
    entries: list[Entry], levels: Sequence[Level], sampling: Sampling, shares: Mapping[str, float]
) -> _Inner | _Leaf:
    if not levels:
        weights = [float(one.frames) if sampling.cases == "frames" else 1.0 for one in entries]
        return _Leaf(entries, _upto(weights))
    groups: dict[str, list[Entry]] = {}
    for one in entries:
        for key in one.keys(levels[0]):
            groups.setdefault(key, []).append(one)
    keys = sorted(groups)
    weights = [shares[key] if levels[0] == "share" else 1.0 for key in keys]
    return _Inner(levels[0], keys, [_node(groups[key], levels[1:], sampling, shares) for key in keys], _upto(weights))


def _upto(weights: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Upper bounds in 0..1 of the stretches that weights take; the last is 1 whatever the rounding."""
    bounds = np.cumsum(np.asarray(weights, np.float64))
    bounds /= bounds[-1]
    bounds[-1] = 1.0
    return bounds
