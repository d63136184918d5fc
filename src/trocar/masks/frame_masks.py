"""The masks of one frame, as the loop hands them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameMasks:
    """All objects of one frame.

    Args:
        frame: index of the frame in its source.
        masks: object id -> (rows, columns) bool mask at source size; an absent object has an empty mask.
        scores: object id -> predicted IoU in 0..1 of that mask (0 where the object is judged absent).
        prompted: ids whose mask on this frame answers a prompt rather than tracking.
    """

    frame: int
    masks: Mapping[int, NDArray[np.bool_]]
    scores: Mapping[int, float] = field(default_factory=dict)
    prompted: frozenset[int] = frozenset()
