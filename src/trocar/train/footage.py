"""Footage: frames with their labels, each read when it is asked for; of the last ones some are kept."""

from __future__ import annotations

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trocar.datasets import Case, Clip, read_clip
from trocar.frames import FrameSource

Mask = NDArray[np.bool_]
UNNAMED = ("object", "")  # what readers call things without a name
LARGEST_ID = 65535
OPEN_SOURCES = 8  # files that stay open


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """A frame and what is true of it.

    Args:
        image: (rows, columns, 3) uint8 RGB.
        labels: (rows, columns) uint16: the id of the topmost object, 0 where there is none.
        ignore: (rows, columns) bool: pixels without a truth.
        covered: id -> (rows, columns) bool: the whole masks of objects that others lie on.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    ignore: Mask | None = None
    covered: Mapping[int, Mask] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        own = self.image.nbytes + self.labels.nbytes + sum(mask.nbytes for mask in self.covered.values())
        return own + (0 if self.ignore is None else self.ignore.nbytes)


class Footage(Protocol):
    """Annotated frames of one video, volume or set of pictures.

    `names` gives each id its class. Frames of footage that is not `ordered` do not follow one another.
    """

    @property
    def name(self) -> str: ...

    @property
    def ordered(self) -> bool: ...

    @property
    def names(self) -> Mapping[int, str]: ...

    def __len__(self) -> int: ...

    def frame(self, index: int) -> LabelledFrame: ...


class ClipFootage:
    """A clip in memory, or mapped from files, as footage."""

    def __init__(self, clip: Clip) -> None:
        self.clip, self.name, self.ordered = clip, clip.name, clip.ordered
        self.names: Mapping[int, str] = clip.classes

    def __len__(self) -> int:
        return len(self.clip.images)

    def frame(self, index: int) -> LabelledFrame:
        ignore = None if self.clip.ignore is None else self.clip.ignore[index]
        return LabelledFrame(self.clip.images[index], self.clip.labels[index].astype(np.uint16), ignore)


class Kept:
    """Frames that were read last, up to so many bytes, and sources that are open."""

    def __init__(self, megabytes: int) -> None:
        self._room = megabytes * 2**20
        self._frames: OrderedDict[tuple[str, int], LabelledFrame] = OrderedDict()
        self._sources: OrderedDict[str, FrameSource] = OrderedDict()
        self._lock = threading.RLock()

    def frame(self, key: tuple[str, int], read: Callable[[], LabelledFrame]) -> LabelledFrame:
        with self._lock:
            found = self._frames.get(key) or read()
            if key not in self._frames:
                self._room -= found.bytes
            self._frames[key] = found
            self._frames.move_to_end(key)
            while self._room < 0 and self._frames:
                _, oldest = self._frames.popitem(last=False)
                self._room += oldest.bytes
            return found

    def source(self, key: str, case: Case) -> FrameSource:
        with self._lock:
            found = self._sources.pop(key, None) or case.open()
            self._sources[key] = found
            while len(self._sources) > OPEN_SOURCES:
                self._sources.popitem(last=False)
            return found


class CaseFootage:
    """The annotated frames of a case.

    Args:
        case: which.
        kept: shared by all footage.
        key: of the case among all.
        together: whether ids mean the same on all frames; if not, the frames count as single pictures.
    """

    def __init__(self, case: Case, kept: Kept, key: str, together: bool = True) -> None:
        self.case, self.name = case, case.name
        self._kept, self._key, self._together = kept, key, together
        self._annotated = case.annotated_frames

    @property
    def names(self) -> Mapping[int, str]:
        return self.case.objects

    @property
    def ordered(self) -> bool:
        return self._together and bool(getattr(self._kept.source(self._key, self.case), "ordered", True))

    def __len__(self) -> int:
        return len(self._annotated)

    def frame(self, index: int) -> LabelledFrame:
        """An annotated frame, counted among these.

        Raises:
            FileNotFoundError, ValueError: its files are missing, damaged or do not fit.
        """
        return self._kept.frame((self._key, index), lambda: self._read(self._annotated[index]))

    def _read(self, number: int) -> LabelledFrame:
        image = self._kept.source(self._key, self.case)[number].image
        truth = self.case.truth(number)
        assert truth is not None
        labels = np.zeros(image.shape[:2], np.uint16)
        for one in sorted(truth.masks):
            if not 1 <= one <= LARGEST_ID:
                raise ValueError(f"{self.name} has the object {one}: training takes ids from 1 to {LARGEST_ID}")
            if truth.masks[one].shape != labels.shape:
                sizes = f"{labels.shape} and its truth {truth.masks[one].shape}"
                raise ValueError(f"frame {number} of {self.name} is {sizes}: both must be of one size")
            labels[truth.masks[one]] = one
        covered = {one: mask for one, mask in truth.masks.items() if (labels[mask] != one).any()}
        return LabelledFrame(image, labels, truth.ignore, covered)


class Gathered:
    """Pictures of one set as one piece of footage: what MedSAM-2 takes for a video, in an order that chance gives."""

    ordered = True

    def __init__(self, name: str, pictures: Sequence[Footage]) -> None:
        self.name = name
        self._places = [(one, index) for one in pictures for index in range(len(one))]
        self._pictures = pictures

    @property
    def names(self) -> Mapping[int, str]:
        return {number: name for one in self._pictures for number, name in one.names.items()}

    def __len__(self) -> int:
        return len(self._places)

    def shuffled(self, rng: np.random.Generator) -> Gathered:
        """The same in another order."""
        other = copy(self)
        other._places = [self._places[int(place)] for place in rng.permutation(len(self._places))]
        return other

    def frame(self, index: int) -> LabelledFrame:
        footage, place = self._places[index]
        return footage.frame(place)


def unpacked(case: Case, folder: Path) -> ClipFootage:
    """A volume as plain arrays in `folder`, which are written when they are missing and mapped, not read.

    A slice of a compressed volume costs as much as the whole. The arrays are not renewed when the volume changes:
    delete the folder then.

    Raises:
        FileNotFoundError, ValueError: as `read_clip`.
    """
    place = folder / case.name.replace("/", "__")
    if not place.is_dir():
        clip = read_clip(case)
        part = place.with_name(f"{place.name}.{os.getpid()}.part")
        part.mkdir(parents=True, exist_ok=True)
        grey = bool((clip.images == clip.images[..., :1]).all())
        np.save(part / "images.npy", clip.images[..., 0] if grey else clip.images)
        np.save(part / "labels.npy", clip.labels)
        if clip.ignore is not None:
            np.save(part / "ignore.npy", clip.ignore)
        try:
            os.replace(part, place)
        except OSError:  # another process was quicker
            shutil.rmtree(part)
    images, labels = (np.load(place / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
    ignore = np.load(place / "ignore.npy", mmap_mode="r") if (place / "ignore.npy").exists() else None
    colour = images if images.ndim == 4 else np.broadcast_to(images[..., None], (*images.shape, 3))
    return ClipFootage(Clip(case.name, colour, labels, dict(case.objects), ignore))
