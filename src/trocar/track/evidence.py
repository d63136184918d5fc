"""What each plane says about each voxel of each object, in half precision, in memory or in files.

Kept is the probability less one half: half precision is finest around 0, where masks end, and a voxel that nobody has
spoken about counts for neither side. Planes say it slice by slice in their own order; saying a slice again replaces
what was said, so that an interrupted direction can be run again. It is brought together slab by slab at the end.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trocar.formats.whole_file import naming_full_disk
from trocar.masks.cleanup import VolumeCleanup
from trocar.track.planes import PlaneMap

Aggregate = Literal["mean", "majority"]
SLAB = 16  # slices that are brought together at a time, so that what is computed on the way stays small
AGGREGATES: tuple[Aggregate, ...] = ("mean", "majority")


def evidence_of(logits: Tensor) -> NDArray[np.float16]:
    """sigmoid(logits) - 1/2, computed such that the sign survives next to 0."""
    half: NDArray[np.float16] = ((logits.float() / 2).tanh() / 2).half().cpu().numpy()
    return half


def together(said: list[NDArray[np.float16]], aggregate: Aggregate) -> NDArray[np.float32]:
    """What planes say of the same voxels as one number, above 0 where the object is.

    Args:
        said: evidence in one order, one array a plane.
        aggregate: "mean" adds the probabilities, so that their mean decides; "majority" lets every plane vote for or
            against. In both, a tie is not the object.
    """
    total = np.zeros(said[0].shape, np.float32)
    for one in said:
        total += one if aggregate == "mean" else np.sign(one)
    return total


class VoxelStore:
    """Arrays by name, in memory or, where there is a folder, in files of it that count little in resident memory.

    Args:
        folder: for the files; None for memory.
        keep: whether files that are there already are taken up, not made anew.
    """

    def __init__(self, folder: Path | None, keep: bool = False) -> None:
        self._folder = folder
        self._arrays: dict[str, NDArray[Any]] = {}
        self._maps: list[mmap.mmap] = []
        if folder is not None and not keep:
            for path in folder.glob("*.raw"):
                path.unlink()

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float16) -> NDArray[Any]:
        """The array of this name, made of zeros when it is first asked for.

        Raises:
            OSError: the disk has no room for it.
        """
        if name not in self._arrays:
            in_file = self._folder is not None
            self._arrays[name] = self._mapped(name, shape, dtype) if in_file else np.zeros(shape, dtype)
        return self._arrays[name]

    def let_go(self) -> None:
        """Give the files' pages back to the system, which keeps what was written."""
        for one in self._maps:
            if hasattr(one, "madvise"):  # not on Windows
                one.madvise(mmap.MADV_DONTNEED)

    def _mapped(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.raw"
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with naming_full_disk(path), path.open("a+b") as file:
            # A page that finds no room on the disk when it is written kills the process: room is taken now.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
            mapped = mmap.mmap(file.fileno(), size)
        self._maps.append(mapped)
        return np.frombuffer(mapped, dtype).reshape(shape)


def evidence_name(plane: str, object_id: int) -> str:
    """Under which name a plane's evidence for an object is stored."""
    return f"{plane}-{object_id}"


def largest_slice(said: NDArray[np.float16], change: PlaneMap) -> int:
    """The slice of another plane on which an object's area is largest; `said` is in the prompted plane's order."""
    areas = [np.zeros(length, np.int64) for length in said.shape]
    for index, one in enumerate(said):
        mask = one > 0
        areas[0][index] = mask.sum()
        areas[1] += mask.sum(axis=1)
        areas[2] += mask.sum(axis=0)
    along = areas[change.axes[0]]
    return int(np.argmax(along[::-1] if change.flips[0] else along))


class Spoken(NamedTuple):
    """A plane that has spoken: how its slices lie in the prompted plane's order, and its shape in its own."""

    name: str
    change: PlaneMap
    shape: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Verdict:
    """The masks that the planes' evidence amounts to.

    Args:
        store: holds the evidence.
        planes: the prompted one comes first.
        objects: their ids.
        aggregate: see `together`.
        non_overlap: let every voxel belong to the object with the most evidence.
    """

    store: VoxelStore
    planes: Sequence[Spoken]
    objects: Sequence[int]
    aggregate: Aggregate
    non_overlap: bool

    def slabs(
        self, cleanup: VolumeCleanup, spacing_mm: tuple[float, ...] | None
    ) -> Iterator[tuple[slice, dict[int, NDArray[np.bool_]]]]:
        """The masks by object, some slices of the prompted plane at a time."""
        cleaned = {name: self._cleaned(name, cleanup, spacing_mm) for name in self.objects} if cleanup.asked else {}
        for at in self._parts():
            found = self._found(at, self.objects)
            if cleaned:
                tidy = {name: mask[at] for name, mask in cleaned.items()}
                found = _without_trespass(tidy, found) if self.non_overlap else tidy
            yield at, found

    def _parts(self) -> Iterator[slice]:
        length = self.planes[0].shape[0]
        return (slice(start, min(start + SLAB, length)) for start in range(0, length, SLAB))

    def _found(self, at: slice, names: Sequence[int]) -> dict[int, NDArray[np.bool_]]:
        totals = []
        for name in names:
            slabs = []
            for plane in self.planes:
                said = self.store.array(evidence_name(plane.name, name), plane.shape)
                slabs.append(plane.change.inverse.apply(said)[at].copy())
                self.store.let_go()  # a slab may have touched all of another plane's file
            totals.append(together(slabs, self.aggregate))
        best = np.argmax(totals, axis=0) if self.non_overlap else None
        return {
            name: (total > 0) if best is None else (total > 0) & (best == index)
            for index, (name, total) in enumerate(zip(names, totals, strict=True))
        }

    def _cleaned(self, name: int, cleanup: VolumeCleanup, spacing_mm: tuple[float, ...] | None) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self.store.array(f"mask-{name}", self.planes[0].shape, np.bool_)
        rivals = self.objects if self.non_overlap else [name]
        for at in self._parts():
            mask[at] = self._found(at, rivals)[name]
        cleanup.apply(mask, spacing_mm)
        self.store.let_go()
        return mask


def _without_trespass(
    cleaned: dict[int, NDArray[np.bool_]], found: dict[int, NDArray[np.bool_]]
) -> dict[int, NDArray[np.bool_]]:
    """Cleaned masks that take no voxel that was another object's, or that another has taken by now."""
    taken = np.any(list(found.values()), axis=0)
    masks = {}
    for name, mask in cleaned.items():
        masks[name] = mask & (found[name] | ~taken)
        taken |= masks[name]
    return masks
