"""Data sets: one file each, from files on disk, or from a seed, to clips with masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from trocar.datasets.clip import Clip

__all__ = ["DATASETS", "Clip"]

Loader = Callable[[str, Path | None], Iterator[Clip]]


def _vocalfolds(split: str, root: Path | None = None) -> Iterator[Clip]:
    from trocar.datasets import vocalfolds

    return vocalfolds.clips(split, root)


def _nuclei(split: str, root: Path | None = None) -> Iterator[Clip]:
    from trocar.datasets import instances

    return instances.clips(split, root)


#: Name -> loader(split, root): yields the clips of one split. A reader is imported when it is first used.
DATASETS: dict[str, Loader] = {"vocalfolds": _vocalfolds, "nuclei": _nuclei}
