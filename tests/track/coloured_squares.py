"""Pictures of coloured squares that come and go, and the prompter of the examples, which finds them by their colour."""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.frames import ArraySource
from trocar.track.prompter import Prompter

ROWS, COLUMNS, EDGE = 96, 128, 24
COLOURS = {"red": (210, 40, 40), "blue": (40, 60, 220), "green": (40, 200, 60)}
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_prompter.py"

Place = tuple[int, int]  # row and column of a square's upper left corner


def squares(frames: int, places: Mapping[str, Sequence[Mapping[int, Place]]]) -> ArraySource:
    """Squares over a dull ground: for each colour its squares, each as frame -> place."""
    rng = np.random.default_rng(0)
    ground = rng.integers(70, 110, (ROWS // 8, COLUMNS // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    images = np.stack([ground] * frames)
    for colour, wanted in places.items():
        for one in wanted:
            for frame, (row, column) in one.items():
                images[frame, row : row + EDGE, column : column + EDGE] = COLOURS[colour]
    return ArraySource(images)


def square(place: Place) -> NDArray[np.bool_]:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[place[0] : place[0] + EDGE, place[1] : place[1] + EDGE] = True
    return mask


def by_colour(source: Any, *names: str) -> Prompter:
    """The example's prompter for some colours; all of them without names."""
    made: Prompter = runpy.run_path(str(EXAMPLE))["ByColour"](
        source, {name: COLOURS[name] for name in names or COLOURS}
    )
    return made
