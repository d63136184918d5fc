"""Which frames are visited, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Course:
    """The frames of a source, and how they are gone through.

    Args:
        length: how many.
        size: (rows, columns) in pixels, where all have one.
        ordered: whether they follow one another.
    """

    length: int
    size: tuple[int, int] | None
    ordered: bool

    def stretch(self, direction: Direction, start: int, stop: int) -> Pass:
        """A pass over some of the frames, both ends included."""
        return Pass(direction, start, stop, self.length, self.size, everywhere=not self.ordered)

    def passes(
        self,
        direction: Direction | Literal["both"],
        start: int | None,
        stop: int | None,
        prompted: Sequence[tuple[int, int]] | None,
    ) -> list[Pass]:
        """The passes of a propagation, see `Session.propagate`.

        Args:
            direction: which way, or both.
            start: first frame; None for where the prompts say.
            stop: last frame; None for the end.
            prompted: the first and the last prompted frame of each object; None where objects may begin anywhere.
        """
        end = self.length - 1
        if not self.ordered:
            way: Direction = "backward" if direction == "backward" else "forward"
            first, last = (0, end) if way == "forward" else (end, 0)
            return [self.stretch(way, first if start is None else start, last if stop is None else stop)]
        prompted = [(0, end)] if prompted is None else prompted
        firsts, lasts = [one for one, _ in prompted], [one for _, one in prompted]
        if direction == "both":
            back = replace(self.stretch("backward", max(firsts) - 1, 0), unprompted_side=True)
            return [self.stretch("forward", min(firsts), end), back]
        if direction == "forward":
            return [self.stretch("forward", min(firsts) if start is None else start, end if stop is None else stop)]
        return [self.stretch("backward", max(lasts) if start is None else start, stop or 0)]
