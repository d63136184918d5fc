"""What `Session.propagate` gives: masks made as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trocar.frames import FrameSource
from trocar.masks import FrameMasks


class Propagation(Iterator[FrameMasks]):
    """The masks of a propagation, made as they are asked for; `len` is the number of frames it visits.

    The source goes with it, so that writers know sizes and names.
    """

    def __init__(self, source: FrameSource, length: int, made: Iterator[FrameMasks]) -> None:
        self.source = source
        self._length = length
        self._made = made

    def __len__(self) -> int:
        return self._length

    def __next__(self) -> FrameMasks:
        # Entered for each frame, not around the loop: the caller's own code must not run in inference mode.
        with torch.inference_mode():
            return next(self._made)
