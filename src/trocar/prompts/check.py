"""Whether a prompt fits the source that it is meant for."""

from __future__ import annotations

from trocar.geometry import Geometry
from trocar.prompts.prompt import Box, MaskPrompt, Point, Prompt, Scribble


def check_prompt(prompt: Prompt, geometry: Geometry, frame: int, length: int) -> None:
    """Refuse a prompt that does not fit its source.

    A box may reach to the frame's far edges (x = columns, y = rows), and no further.

    Args:
        prompt: what was said.
        geometry: of the source.
        frame: the frame it was said on.
        length: number of frames of the source.

    Raises:
        ValueError: the frame is beyond the source, a coordinate outside the frame, or the mask of another size.
    """
    if not 0 <= frame < length:
        raise ValueError(f"the prompt is on frame {frame}: this source has the frames 0 to {length - 1}")
    rows, columns = geometry.size
    if isinstance(prompt, MaskPrompt):
        if prompt.mask.shape != geometry.size:
            raise ValueError(
                f"the mask on frame {frame} has {_size(prompt.mask.shape)} pixels (columns x rows) and the frame "
                f"{_size(geometry.size)}: give a mask of the frame's size"
            )
        return
    for x, y in _places(prompt):
        if not geometry.contains(x, y):
            raise ValueError(
                f"the {type(prompt).__name__.lower()} on frame {frame} reaches x,y = {x:g},{y:g}: outside the frame, "
                f"where x goes from 0 to {columns} and y from 0 to {rows}"
            )


def _places(prompt: Prompt) -> tuple[tuple[float, float], ...]:
    match prompt:
        case Point(x, y):
            return ((x, y),)
        case Box(x0, y0, x1, y1):
            return ((x0, y0), (x1, y1))
        case Scribble(points):
            return points
        case _:
            return ()


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
