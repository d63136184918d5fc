"""Frames and where they come from: video, volume and image set differ in their source only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Geometry


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Args:
        index: its number in the source, from 0: the index into the displayed frames, slices or sorted files.
        image: (rows, columns, 3) uint8 RGB; grey sources repeat their channel.
        time_s: when it is shown, in seconds from the start, for video.
        name: the file it came from, for folders.
    """

    index: int
    image: NDArray[np.uint8]
    time_s: float | None = None
    name: str | None = None


@runtime_checkable
class FrameSource(Protocol):
    """Anything with a length that gives a Frame for an index; frames are decoded when they are asked for.

    `name` says where it comes from (shown to people), `geometry` is shared by all frames (see `geometry_of` for sets of
    pictures that differ in size), `rate_hz` is the frame rate for sources that have one. A source whose frames do not
    follow one another has `ordered = False`. `source[i]` raises IndexError beyond the last frame.
    """

    name: str
    geometry: Geometry
    rate_hz: float | None

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Frame: ...


def geometry_of(source: FrameSource, frame: int) -> Geometry:
    """The pixel grid of one frame.

    Frames share the source's `geometry`, unless the source has `geometries`, one a frame: pictures of several sizes.
    """
    own: Sequence[Geometry] | None = getattr(source, "geometries", None)
    return source.geometry if own is None or not 0 <= frame < len(own) else own[frame]


class ArraySource:
    """Frames that are already in memory.

    Args:
        images: (frames, rows, columns, 3) or (frames, rows, columns) uint8.
        name: what to call it in messages.
        geometry: defaults to the images' size with no spacing.
        rate_hz: frames per second, if it is a video.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        name: str = "array",
        geometry: Geometry | None = None,
        rate_hz: float | None = None,
    ) -> None:
        if images.ndim not in (3, 4) or images.dtype != np.uint8 or len(images) == 0:
            raise ValueError(
                f"frames must be a non-empty uint8 array of shape (frames, rows, columns[, 3]), "
                f"not {images.dtype} {images.shape}"
            )
        self._images = images
        self.name = name
        self.geometry = geometry or Geometry((int(images.shape[1]), int(images.shape[2])))
        self.rate_hz = rate_hz

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {len(self) - 1}")
        image = self._images[index]
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        return Frame(index, image)
