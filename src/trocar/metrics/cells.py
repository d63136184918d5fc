"""The area that a surface has in each cell of 2 x 2 (x 2) neighbouring voxels, by what the cell's corners hold.

The surface is that of marching cubes (Lorensen & Cline, SIGGRAPH 1987) through the middles of the cell's cut edges.
A cell's code has one bit a corner; the first corner has the highest, the last index changes fastest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, ...]
_CORNERS: tuple[Corner, ...] = tuple(product((0, 1), repeat=3))


def contour_lengths(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """The 16 lengths in mm, by code: a corner cut off, a straight line, or two corners cut off."""
    down, across = spacing_mm
    cut = 0.5 * math.hypot(down, across)
    lengths = [0.0, cut, cut, across, cut, down, 2 * cut, cut]
    return np.array(lengths + lengths[::-1])


def surface_areas(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """The 256 areas in mm^2, by code."""
    codes, normals = _triangles()
    depth, height, width = spacing_mm
    scaled = normals * (height * width, depth * width, depth * height)
    areas = np.bincount(codes, np.linalg.norm(scaled, axis=1), 256)
    return np.maximum(areas, areas[::-1])  # a cell and its negative have the same surface


@cache
def _triangles() -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The triangles of cells with at most four corners inside: their codes, and normals as long as their areas.

    The cells are of unit length.
    """
    codes: list[int] = []
    normals: list[NDArray[np.float64]] = []
    for code in range(256):
        inside = {corner for bit, corner in enumerate(_CORNERS) if code & 128 >> bit}
        if len(inside) > 4:
            continue
        for part in _connected(inside):
            # A polygon of five or six points is not flat. Of all ways to split it into triangles, the reference's
            # tables hold the one with the largest area.
            found = max(_triangulations(_polygon(part)), key=lambda split: sum(np.linalg.norm(one) for one in split))
            codes += [code] * len(found)
            normals += found
    return np.array(codes), np.array(normals)


def _connected(corners: set[Corner]) -> Iterator[set[Corner]]:
    """Corners that are joined by edges of the cell, together."""
    left = set(corners)
    while left:
        part, waiting = set(), [left.pop()]
        while waiting:
            corner = waiting.pop()
            part.add(corner)
            found = {other for other in left if _apart(corner, other) == 1}
            left -= found
            waiting += found
        yield part


def _polygon(part: set[Corner]) -> NDArray[np.float64]:
    """The middles of the edges that lead out of connected corners, in order around them."""
    middles = [
        tuple((a + b) / 2 for a, b in zip(corner, other, strict=True))
        for corner in sorted(part)
        for other in _CORNERS
        if _apart(corner, other) == 1 and other not in part
    ]
    # Each face of the cell has two of these middles or none; those two are neighbours on the polygon.
    faces = [[point for point in middles if point[axis] == side] for axis, side in product(range(3), (0, 1))]
    around = middles[:1]
    while len(around) < len(middles):
        around.append(next(point for pair in faces if around[-1] in pair for point in pair if point not in around))
    return np.array(around)


def _triangulations(points: NDArray[np.float64]) -> list[list[NDArray[np.float64]]]:
    """All ways to split a polygon into triangles, each as the triangles' normals of their area."""
    last = len(points) - 1
    if last < 2:
        return [[]]
    return [
        [*before, np.cross(points[tip] - points[0], points[last] - points[0]) / 2, *after]
        for tip in range(1, last)
        for before in _triangulations(points[: tip + 1])
        for after in _triangulations(points[tip:])
    ]


def _apart(a: Corner, b: Corner) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))
