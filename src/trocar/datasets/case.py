"""Case: one video, volume or picture of a data set with its truth, read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trocar.frames import FrameSource

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """What is true of one annotated frame.

    Args:
        masks: object id -> (rows, columns) bool; masks may overlap, and an object that does not show may be left out.
        ignore: (rows, columns) bool: pixels without a truth, to be left out of losses and scores.
    """

    masks: Mapping[int, Mask]
    ignore: Mask | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One video, volume or picture. Making one reads no pixels.

    Args:
        name: says which; unique within its data set, and fit to be part of a file name apart from "/".
        frames: how many frames `open()` gives.
        open: gives the frames, each decoded when it is asked for.
        truth: frame -> its truth; None where nobody annotated the frame. It is read anew at each call.
        objects: object id -> class name, for every id that may occur.
        annotated: the frames that have a truth, ascending; None for all.
        group: the patient or recording that it comes from, which must lie on one side of any split; its own name
            unless something is known.
    """

    name: str
    frames: int
    open: Callable[[], FrameSource]
    truth: Callable[[int], FrameTruth | None]
    objects: Mapping[int, str]
    annotated: tuple[int, ...] | None = None
    group: str = field(default="")

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.name)

    @property
    def annotated_frames(self) -> tuple[int, ...]:
        """The frames that have a truth, ascending."""
        return tuple(range(self.frames)) if self.annotated is None else self.annotated
