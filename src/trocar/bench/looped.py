"""A short video that stands for a long one, and how long its frames take to decode."""

from __future__ import annotations

import time

from trocar.frames import Frame, FrameSource


class LoopedSource:
    """A source that starts over when it ends, `frames` long; frame n is frame n modulo its length."""

    def __init__(self, source: FrameSource, frames: int) -> None:
        self.name, self.geometry, self.rate_hz = f"{source.name} (looped)", source.geometry, source.rate_hz
        self._source, self._frames = source, frames
        self.seconds = 0.0

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> Frame:
        start = time.perf_counter()
        frame = self._source[index % len(self._source)]
        self.seconds += time.perf_counter() - start
        return Frame(index, frame.image)
