"""Which frames are visited, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from trocar.memory.seam import Visit

Direction = Literal["forward", "backward"]
SIGNS: dict[Direction, Literal[1, -1]] = {"forward": 1, "backward": -1}


@dataclass(frozen=True)
class Pass:
    """A run over the frames from `start` to `stop`, both included, one after the other.

    Args:
        direction: "forward" runs to larger frame numbers, "backward" to smaller ones.
        start: first frame visited.
        stop: last frame visited.
        length: frames in the source; None where it is not known.
        size: (rows, columns) of its frames in pixels.
        unprompted_side: an object takes part only where its earliest prompt still lies ahead of the pass: the second
            half of tracking both ways, which completes a forward pass.
        everywhere: every object takes part on every frame, wherever its prompts lie: on image sets there is no before.
        is_whole: whether it starts where tracking starts rather than going on from an earlier part.
        clock: time of its first visit where one memory goes through several passes: then time counts visits and always
            runs forward. None where a frame's time is its number.
    """

    direction: Direction
    start: int
    stop: int
    length: int | None = None
    size: tuple[int, int] | None = None
    unprompted_side: bool = False
    everywhere: bool = False
    is_whole: bool = True
    clock: int | None = None

    @property
    def sign(self) -> Literal[1, -1]:
        return SIGNS[self.direction]

    def visit(self, frame: int) -> Visit:
        """The visit of one frame: frames of a source are a step of time apart."""
        if self.clock is not None:
            return Visit(frame, self.clock + (frame - self.start) * self.sign, 1, self.length, self.size)
        return Visit(frame, frame, self.sign, self.length, self.size)

    def visits(self) -> Iterator[Visit]:
        return (self.visit(frame) for frame in range(self.start, self.stop + self.sign, self.sign))

    def __len__(self) -> int:
        return max(0, (self.stop - self.start) * self.sign + 1)

    def takes_part(self, frame: int, prompted_frames: list[int]) -> bool:
        """Whether an object with prompts on these frames is tracked on `frame` during this pass."""
        if self.everywhere:
            return True
        if self.unprompted_side:
            return frame < min(prompted_frames)
        return any((frame - prompted) * self.sign >= 0 for prompted in prompted_frames)
