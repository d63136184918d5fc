"""The three planes of one volume: index maps between them, and sources that show their slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trocar.formats.volume import PLANES
from trocar.frames import Frame, FrameSource
from trocar.geometry import Geometry
from trocar.prompts import MaskPrompt, Prompt

OPPOSITE = {"S": "I", "I": "S", "P": "A", "A": "P", "L": "R", "R": "L"}


@dataclass(frozen=True)
class PlaneMap:
    """From the (slice, row, column) order of one plane to that of another: axes change places and may turn round.

    Args:
        axes: for each axis of the new order, which axis of the old one it is.
        flips: for each axis of the new order, whether it runs the other way.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, volume: NDArray[Any]) -> NDArray[Any]:
        """A view of a volume in the new order; axes after the third stay as they are."""
        turned = volume.transpose(*self.axes, *range(3, volume.ndim))
        view: NDArray[Any] = turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return view

    @property
    def inverse(self) -> PlaneMap:
        """The way back."""
        first, second, third = (self.axes.index(axis) for axis in range(3))
        return PlaneMap((first, second, third), (self.flips[first], self.flips[second], self.flips[third]))

    def ranges(self, spans: tuple[tuple[float, float], ...], shape: tuple[int, ...]) -> list[tuple[float, float]]:
        """What (from, to) along each old axis becomes, in pixel edges from 0 to the axis' length in `shape`."""
        moved = []
        for axis, flip in zip(self.axes, self.flips, strict=True):
            low, high = spans[axis]
            moved.append((shape[axis] - high, shape[axis] - low) if flip else (low, high))
        return moved

    def geometry(self, old: Geometry, length: int) -> tuple[int, Geometry]:
        """The number of slices in the new order and their geometry, from the old ones."""
        shape = (length, *old.size)
        count, rows, columns = (shape[axis] for axis in self.axes)
        spacing = old.spacing_mm
        if spacing is not None:
            spacing = tuple(spacing[axis] for axis in self.axes)
        affine = old.affine
        if affine is not None:
            back = np.zeros((4, 4))
            back[3, 3] = 1
            for new, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
                back[axis, new] = -1 if flip else 1
                back[axis, 3] = shape[axis] - 1 if flip else 0
            affine = affine @ back
        return count, Geometry((rows, columns), spacing, affine)


def plane_map(old: str, new: str) -> PlaneMap:
    """The map from one plane's order to another's.

    Raises:
        ValueError: one of them is no plane.
    """
    for plane in (old, new):
        if plane not in PLANES:
            raise ValueError(f"no plane is called {plane!r}: use {', '.join(PLANES)}")
    ends = PLANES[old]
    first, second, third = (ends.index(end) if end in ends else ends.index(OPPOSITE[end]) for end in PLANES[new])
    turned = tuple(ends[axis] != end for axis, end in zip((first, second, third), PLANES[new], strict=True))
    return PlaneMap((first, second, third), (turned[0], turned[1], turned[2]))


def read_pictures(source: FrameSource) -> NDArray[np.uint8]:
    """All slices as they are shown, (slices, rows, columns, 1), or with three channels where one has colours."""
    pictures = np.empty((len(source), *source.geometry.size, 1), np.uint8)
    for index in range(len(source)):
        image = source[index].image
        if pictures.shape[3] == 1 and (image != image[..., :1]).any():
            pictures = np.repeat(pictures, 3, axis=3)
        pictures[index] = image[..., : pictures.shape[3]]
    return pictures


class PlaneView:
    """Another plane of a volume, cut from the pictures of the plane that it was opened in.

    Each slice of the file is thus decoded once, and all planes have the same grey levels.

    Args:
        pictures: see `read_pictures`.
        base: what the pictures were read from.
        change: from the base's plane to this one.
        plane: its name.
    """

    rate_hz: float | None = None

    def __init__(self, pictures: NDArray[np.uint8], base: FrameSource, change: PlaneMap, plane: str) -> None:
        self.name = f"{base.name} ({plane})"
        self._pictures = change.apply(pictures)
        self._count, self.geometry = change.geometry(base.geometry, len(base))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"slice {index} is outside {self.name}, which has slices 0 to {len(self) - 1}")
        image = np.ascontiguousarray(self._pictures[index])
        return Frame(index, image if image.shape[2] == 3 else np.repeat(image, 3, axis=2))


class TrueAspect:
    """Slices in their true proportion: black is added below or to the right until a slice is a square in mm.

    The network sees every frame stretched to a square; one that is a square already keeps its proportion. Pixels stay
    what and where they are, so that prompts fit as they are, and masks are cut back.

    Args:
        source: slices of a volume.

    Raises:
        ValueError: the source does not say how far its pixels are apart.
    """

    def __init__(self, source: FrameSource) -> None:
        spacing = source.geometry.spacing_mm
        if spacing is None:
            raise ValueError(f"{source.name} does not say its spacing, so its true proportion is unknown: leave it out")
        rows, columns = source.geometry.size
        down, across = spacing[-2:]
        side = max(rows * down, columns * across)
        self.name, self.rate_hz = source.name, source.rate_hz
        self.geometry = Geometry((max(rows, round(side / down)), max(columns, round(side / across))), spacing)
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Frame:
        image = self._source[index].image
        padded = np.zeros((*self.geometry.size, 3), np.uint8)
        padded[: image.shape[0], : image.shape[1]] = image
        return Frame(index, padded)


class ShownPlane(NamedTuple):
    """A plane as it is tracked.

    Args:
        name: which.
        shown: what the network sees.
        change: how its slices lie in the prompted plane's order.
        size: (rows, columns) of its slices as they are, without what is added for true proportion.
    """

    name: str
    shown: FrameSource
    change: PlaneMap
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        return len(self.shown), *self.size

    def fitted(self, prompt: Prompt) -> Prompt:
        """A prompt on the slices as they are shown: only masks have to grow with them."""
        if not isinstance(prompt, MaskPrompt) or self.shown.geometry.size == self.size:
            return prompt
        larger = np.zeros(self.shown.geometry.size, np.bool_)
        larger[: self.size[0], : self.size[1]] = prompt.mask
        return MaskPrompt(larger)


def all_planes(prompted: str) -> tuple[str, ...]:
    """The planes other than the prompted one, for six directions."""
    return tuple(plane for plane in PLANES if plane != prompted)


def shown_planes(source: FrameSource, plane: str, others: tuple[str, ...], true_aspect: bool) -> list[ShownPlane]:
    """The plane that a source shows, then others cut from its pictures."""
    pictures = read_pictures(source) if others else None
    planes = []
    for name in (plane, *others):
        change = plane_map(plane, name)
        view: FrameSource = source
        if pictures is not None and name != plane:
            view = PlaneView(pictures, source, change, name)
        planes.append(ShownPlane(name, TrueAspect(view) if true_aspect else view, change, view.geometry.size))
    return planes
