"""A clip in which nothing moves, whose scores can be worked out by hand."""

from __future__ import annotations

import numpy as np

from trocar.datasets import Clip


def still_clip() -> Clip:
    """Object 1 from frame 0 on (12 x 10 px), object 2 from frame 2 on (20 x 6 px), object 3 too small to count."""
    labels = np.zeros((5, 40, 48), np.uint8)
    labels[:, 4:14, 6:18] = 1
    labels[2:, 30:36, 20:40] = 2
    labels[:, 0:3, 0:3] = 3
    images = np.repeat((labels * 60)[..., None], 3, axis=3) + np.uint8(20)
    return Clip("still", images, labels, {1: "a", 2: "b", 3: "c"})
