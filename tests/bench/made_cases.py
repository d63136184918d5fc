"""Small videos in memory as cases of a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.datasets import Case, FrameTruth
from trocar.frames import ArraySource


def made_case(
    labels: NDArray[np.integer], name: str = "made", ignore: NDArray[np.bool_] | None = None, every: int = 1
) -> Case:
    """(T, rows, columns) ids as a case whose frames show them as grey levels; each `every`-th frame is annotated."""
    images = np.asarray(20 + 60 * labels, np.uint8)

    def truth(frame: int) -> FrameTruth | None:
        if frame % every:
            return None
        masks = {int(one): labels[frame] == one for one in np.unique(labels[frame]) if one}
        return FrameTruth(masks, None if ignore is None else ignore[frame])

    annotated = None if every == 1 else tuple(range(0, len(labels), every))
    objects = {number: f"class {number}" for number in range(1, 8)}
    return Case(name, len(labels), lambda: ArraySource(images, name), truth, objects, annotated)
