"""Synthetic scenes: seeded, endless, with exact masklets. The entry to all renderers.

The same seed gives the same bytes; nothing is read from disk.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trocar.datasets.cell_scenes import smear_clip, timelapse_clip, vessel_clip
from trocar.datasets.clip import Clip
from trocar.datasets.surgical_scenes import abdomen_clip, generic_clip, larynx_clip
from trocar.datasets.volume_scenes import ct_clip, mr_clip

#: Kind -> renderer(seed, frames, size).
SCENES: dict[str, Callable[[int, int, int], Clip]] = {
    "larynx": larynx_clip,
    "abdomen": abdomen_clip,
    "generic": generic_clip,
    "ct": ct_clip,
    "mr": mr_clip,
    "timelapse": timelapse_clip,
    "smear": smear_clip,
    "vessel": vessel_clip,
}
#: How often `scene` draws each kind, in the order of SCENES.
SHARES = (0.35, 0.2, 0.15, 0.08, 0.08, 0.08, 0.03, 0.03)


def scene(seed: int, kind: str | None = None, frames: int = 8, size: int = 256) -> Clip:
    """One synthetic clip.

    Args:
        seed: 0 or more; decides everything.
        kind: a name in SCENES; drawn from the seed when None.
        frames: number of frames (video), slices (volumes) or images (image sets).
        size: rows and columns of a frame, pixels.

    Raises:
        ValueError: an unknown kind, a negative seed, no frames, or a frame under 32 pixels.
    """
    if seed < 0 or frames < 1 or size < 32:
        raise ValueError(f"scene({seed=}, {frames=}, {size=}): need seed >= 0, frames >= 1 and size >= 32")
    if kind is None:
        kind = list(SCENES)[np.random.default_rng([7, seed]).choice(len(SCENES), p=SHARES)]
    if kind not in SCENES:
        raise ValueError(f"unknown kind of scene {kind!r}; choose one of {', '.join(SCENES)}")
    return SCENES[kind](seed, frames, size)
