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
        adds: whether these objects join those that were handed out for this frame before (as the second half of
            tracking both ways does), rather than taking their place.
        classes: object id -> class name -> probability, from networks that say what they track; an object is left out
            until it is remembered.
    """

    frame: int
    masks: Mapping[int, NDArray[np.bool_]]
    scores: Mapping[int, float] = field(default_factory=dict)
    prompted: frozenset[int] = frozenset()
    adds: bool = False
    classes: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


def joined(before: FrameMasks, added: FrameMasks) -> FrameMasks:
    """The objects of a frame handed out before and those that join them; of an object in both the later mask counts."""
    return FrameMasks(
        added.frame,
        {**before.masks, **added.masks},
        {**before.scores, **added.scores},
        (before.prompted - set(added.masks)) | added.prompted,
        classes={**before.classes, **added.classes},
    )
