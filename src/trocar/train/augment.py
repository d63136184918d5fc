"""Augmentation: one geometry for a clip with a small drift from frame to frame, and changes of colour and sharpness."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class GeometryRange:
    """How far geometry may change.

    Args:
        zoom: smallest and largest magnification; 1 shows the whole image.
        rotation_deg: largest turn either way.
        stretch: largest change of the aspect ratio, as a logarithm.
        drift: strength of the motion that is added from frame to frame, in parts of the image.
        upside_down: share of the samples that are flipped vertically.
    """

    zoom: tuple[float, float] = (0.7, 2.0)
    rotation_deg: float = 30.0
    stretch: float = 0.2
    drift: float = 0.03
    upside_down: float = 0.25


def random_geometry(
    rng: np.random.Generator, size: tuple[int, int], side: int, focus: tuple[float, float] | None, limits: GeometryRange
) -> Matrix:
    """A 3 x 3 matrix from source pixels (x, y) to the pixels of a `side` x `side` picture.

    Args:
        size: (rows, columns) of the source.
        focus: the source point (x, y) to keep in view when zooming in; None for the middle.
    """
    rows, columns = size
    zoom = math.exp(rng.uniform(math.log(limits.zoom[0]), math.log(limits.zoom[1])))
    stretch = rng.uniform(-limits.stretch, limits.stretch) / 2
    angle = math.radians(rng.uniform(-limits.rotation_deg, limits.rotation_deg))
    flip_x = -1 if rng.random() < 0.5 else 1
    flip_y = -1 if rng.random() < limits.upside_down else 1
    x, y = focus if focus is not None and zoom > 1 else (columns / 2, rows / 2)
    to_unit = np.array([[1 / columns, 0, -x / columns], [0, 1 / rows, -y / rows], [0, 0, 1]])
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    scale = np.diag([flip_x * zoom * math.exp(stretch), flip_y * zoom * math.exp(-stretch), 1])
    room = 0.5 - min(0.5, 0.35 / zoom) if zoom > 1 else 0.1
    shift = rng.uniform(-room, room, 2) * 0.7
    place = np.array([[side, 0, side * (0.5 + shift[0])], [0, side, side * (0.5 + shift[1])], [0, 0, 1]])
    return np.asarray(place @ turn @ scale @ to_unit, np.float64)


def drifting(rng: np.random.Generator, start: Matrix, frames: int, side: int, drift: float) -> list[Matrix]:
    """`frames` matrices that wander smoothly away from `start`: shift, turn and zoom with a slowly changing speed."""
    speed = rng.normal(0, drift, 4)
    matrices, change = [start], np.zeros(4)
    for _ in range(frames - 1):
        speed = 0.7 * speed + rng.normal(0, 0.5 * drift, 4)
        change = change + speed
        zoom, angle = math.exp(change[2]), change[3]
        c, s = zoom * math.cos(angle), zoom * math.sin(angle)
        middle = side / 2
        x, y = change[0] * side, change[1] * side
        move = np.array(
            [[c, -s, middle - c * middle + s * middle + x], [s, c, middle - s * middle - c * middle + y], [0, 0, 1]]
        )
        matrices.append(move @ start)
    return matrices


def warp_image(image: NDArray[np.uint8], matrix: Matrix, side: int) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8 through `matrix` to (side, side, 3); black outside; halved first if it shrinks a lot."""
    while math.sqrt(abs(np.linalg.det(matrix[:2, :2]))) < 0.6:
        rows, columns = image.shape[:2]
        image = np.asarray(cv2.resize(image, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix @ np.diag([columns / (columns // 2), rows / (rows // 2), 1.0])
    moved = _pixel_matrix(matrix)[:2]
    return np.asarray(cv2.warpAffine(image, moved, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def warp_labels(labels: NDArray[np.uint8], matrix: Matrix, side: int) -> NDArray[np.uint8]:
    """(rows, columns) uint8 ids through `matrix` to (side, side), nearest neighbour; outside is 0."""
    moved = _pixel_matrix(matrix)[:2]
    return np.asarray(cv2.warpAffine(labels, moved, (side, side), flags=cv2.INTER_NEAREST), np.uint8)


def _pixel_matrix(matrix: Matrix) -> Matrix:
    """OpenCV counts from pixel centres, our matrices from the image's upper left corner."""
    to_corner, to_centre = np.eye(3), np.eye(3)
    to_corner[:2, 2], to_centre[:2, 2] = 0.5, -0.5
    return np.asarray(to_centre @ matrix @ to_corner, np.float64)


@dataclass(frozen=True)
class Look:
    """A change of colour and sharpness; drawn once for a clip and applied to all its frames.

    Args:
        table: (256, 3) uint8: gain, contrast and gamma of each channel.
        saturation: 1 leaves colours as they are, 0 makes the picture grey.
        blur_px: deviation of a Gaussian blur; 0 for none.
        noise: deviation of noise, in grey levels.
        jpeg_quality: quality of a JPEG round trip; 0 for none.
    """

    table: NDArray[np.uint8]
    saturation: float
    blur_px: float
    noise: float
    jpeg_quality: int


def random_look(rng: np.random.Generator, side: int) -> Look:
    level = np.linspace(0, 1, 256)[:, None]
    gain = math.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.09, 3))
    gamma = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.05, 3))
    contrast, offset = math.exp(rng.normal(0, 0.15)), rng.normal(0, 0.05)
    value = np.clip(((level**gamma) * gain - 0.5) * contrast + 0.5 + offset, 0, 1)
    saturation = 0.0 if rng.random() < 0.06 else math.exp(rng.normal(0, 0.25))
    blur = rng.uniform(0.3, 1.3) * side / 256 if rng.random() < 0.2 else 0.0
    noise = rng.uniform(2, 12) if rng.random() < 0.25 else 0.0
    quality = int(rng.integers(25, 90)) if rng.random() < 0.15 else 0
    return Look((value * 255).astype(np.uint8), saturation, blur, noise, quality)


def apply_look(image: NDArray[np.uint8], look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8 -> the same size; noise differs from call to call."""
    out = np.asarray(cv2.LUT(image, look.table[:, None, :].transpose(1, 0, 2)), np.uint8)
    if look.saturation != 1.0:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        out = np.asarray(cv2.addWeighted(out, look.saturation, grey, 1 - look.saturation, 0), np.uint8)
    if look.blur_px:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), look.blur_px), np.uint8)
    if look.noise:
        grain = rng.standard_normal(out.shape, np.float32) * np.float32(look.noise)
        out = np.clip(out + grain, 0, 255).astype(np.uint8)
    if look.jpeg_quality:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, look.jpeg_quality])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out
