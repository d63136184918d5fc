"""Masks and what they lie on: the value that every reader of masks returns and every writer takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.formats.volume import Grid, VolumeSource, stack_grid, volume_masks
from trocar.frames import Frame, FrameSource, geometry_of
from trocar.geometry import Geometry
from trocar.masks import FrameMasks


@dataclass(frozen=True)
class Term:
    """A coded term: (value, scheme, meaning), as in ("10200004", "SCT", "Liver")."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class ObjectInfo:
    """What an object is.

    Args:
        name: for people; "" where nobody said.
        terms: DICOM's segmented property (category, type), where they are known.
    """

    name: str = ""
    terms: tuple[Term, Term] | None = None


@dataclass(frozen=True)
class MaskSet:
    """Masks, frame by frame, and what they lie on. Iterating reads them, each time anew and one frame at a time.

    Frames come in ascending order; a frame that does not come, and an object that a frame lacks, has no mask.

    Args:
        on: the source, or what stands for it: a label volume itself, or a `Canvas`.
        frames: gives the masks, again and again.
        objects: object id -> what it is, for those that somebody named.
        losses: what reading already lost: its kind -> one line; `convert_masks` refuses unless told to drop it.
        series: UIDs of the DICOM series that the masks say they belong to.
    """

    on: FrameSource
    frames: Callable[[], Iterator[FrameMasks]]
    objects: Mapping[int, ObjectInfo] = field(default_factory=dict)
    losses: Mapping[str, str] = field(default_factory=dict)
    series: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[FrameMasks]:
        return self.frames()

    def name_of(self, object_id: int) -> str:
        """What the object is called, "" if nobody said."""
        return self.objects.get(object_id, ObjectInfo()).name


@dataclass(frozen=True)
class ReadOptions:
    """How masks are read.

    Args:
        plane: for volumes: "axial", "coronal" or "sagittal".
        key: which data set of an HDF5 file, which video of a YouTube-VIS document.
        threshold: for fractional segmentations: the smallest part, in 0..1, that counts as the object.

    Raises:
        ValueError: a threshold outside 0..1.
    """

    plane: str = "axial"
    key: str | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise ValueError(f"the threshold must lie above 0 and be 1 at most, not {self.threshold:g}")


AS_IT_IS = ReadOptions()


class Canvas:
    """Black frames that stand for a source that is not at hand.

    Args:
        name: where the masks come from.
        geometry: of the source, as far as it is known.
        length: how many frames there are.
        files: what each frame's file is called, if frames have files.
        sizes: (rows, columns) of each frame, for pictures that differ in size.
    """

    rate_hz: float | None = None

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        length: int,
        files: Sequence[str] = (),
        sizes: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.name = name
        self.geometry = geometry
        if sizes:
            self.geometries = tuple(Geometry(size) for size in sizes)
        self._length = length
        self.files = tuple(files)
        stems = tuple(Path(file).stem for file in files)
        self.names = stems if len(set(stems)) == len(stems) else self.files
        """What each frame is called, for files written about it."""

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < self._length:
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {self._length - 1}")
        black = np.zeros((*geometry_of(self, index).size, 3), np.uint8)
        return Frame(index, black, name=self.files[index] if self.files else None)

    @property
    def grid(self) -> Grid:
        """Where voxels (column, row, slice) lie."""
        affine, spacing = self.geometry.affine, self.geometry.spacing_mm
        slices = stack_grid(None if spacing is None or len(spacing) != 3 else (spacing[0], spacing[1], spacing[2]))
        if affine is not None:
            slices = Grid(affine)
        return Grid(slices.affine[:, [2, 1, 0, 3]], slices.known)

    def to_voxels(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Bring a (slice, row, column) array to the order (column, row, slice)."""
        return volume.transpose(2, 1, 0)


def frame_name(source: FrameSource, frame: int) -> str:
    """What files about a frame are called: the picture's own name in a folder of pictures, else its number."""
    names: tuple[str, ...] = getattr(source, "names", ())
    return names[frame] if names else f"{frame:0{max(5, len(str(len(source) - 1)))}d}"


def picture_name(source: FrameSource, frame: int) -> str:
    """The file name of a frame's picture, a likely one where frames have no files."""
    files: tuple[str, ...] = getattr(source, "files", ())
    return files[frame] if files else f"{frame_name(source, frame)}.png"


def volume_mask_set(source: VolumeSource, objects: Mapping[int, ObjectInfo] | None = None) -> MaskSet:
    """The masks of a volume of labels, which lie on the volume itself."""
    return MaskSet(source, lambda: volume_masks(source), objects or {})
