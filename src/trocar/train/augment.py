"""Augmentation: nano's own, with one geometry for a clip that drifts from frame to frame; or a published list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.train.changes import LISTS, Change, Drawn, Matrix, draw_changes, placed, recoloured

Number = TypeVar("Number", np.uint8, np.uint16)

STILL_DRIFT = 0.06  # motion of an image that serves as a clip, in parts of its side


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


@dataclass(frozen=True)
class Augment:
    """How pictures are changed before they are learned from.

    Args:
        like: "nano", our own; "sam2" or "medsam-2", the published lists in `trocar.train.changes`; "none".
        changes: a list of one's own, instead of the one that `like` names.
        each_frame: draw every change of a list anew for each frame, as MedSAM-2's text has it for template and query.
        geometry: how far "nano" may move things; the lists say so themselves.
    """

    like: Literal["nano", "sam2", "medsam-2", "none"] = "nano"
    changes: tuple[Change, ...] = ()
    each_frame: bool = False
    geometry: GeometryRange = field(default_factory=GeometryRange)

    @property
    def listed(self) -> tuple[Change, ...] | None:
        """The list that is drawn from; None for nano's own way."""
        chosen = self.changes or LISTS.get(self.like)
        if chosen is None:
            return None
        return tuple(replace(change, per_frame=True) for change in chosen) if self.each_frame else chosen


@dataclass(frozen=True, eq=False)
class FrameChange:
    """What happens to one frame: where its pixels (x, y) go, and how it looks afterwards."""

    matrix: Matrix
    look: Look | None = None
    drawn: Sequence[Drawn] = ()

    def picture(
        self, image: NDArray[np.uint8], ground: tuple[int, int, int], side: int, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """(rows, columns, 3) uint8 -> (side, side, 3), outside `ground`; `rng` gives the grain of noise."""
        moved = warp_image(image, self.matrix, side, ground)
        return apply_look(moved, self.look, rng) if self.look else recoloured(moved, self.drawn, rng)


@dataclass(frozen=True)
class Scope:
    """What is to be changed.

    Args:
        sizes: (rows, columns) of each frame.
        side: of the square pictures to be made, in pixels.
        focus: the point (x, y) of the first frame to keep in view when zooming in; None for the middle.
        still: whether the frames are one picture again and again.
    """

    sizes: Sequence[tuple[int, int]]
    side: int
    focus: tuple[float, float] | None = None
    still: bool = False


def draw_augmentation(augment: Augment, rng: np.random.Generator, scope: Scope) -> list[FrameChange]:
    """What happens to each frame of a clip."""
    listed, sizes, side = augment.listed, scope.sizes, scope.side
    if listed is not None:
        drawn = draw_changes(listed, rng, len(sizes))
        return [FrameChange(placed(one, size, side), None, one) for one, size in zip(drawn, sizes, strict=True)]
    start = random_geometry(rng, sizes[0], side, scope.focus, augment.geometry)
    drift = STILL_DRIFT if scope.still else augment.geometry.drift
    path = drifting(rng, start, len(sizes), side, drift)
    look = random_look(rng, side)
    return [FrameChange(matrix @ _resized(size, sizes[0]), look) for matrix, size in zip(path, sizes, strict=True)]


def _resized(size: tuple[int, int], wanted: tuple[int, int]) -> Matrix:
    """From the pixels of a frame to those of one of another size."""
    return np.diag([wanted[1] / size[1], wanted[0] / size[0], 1.0])


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


def warp_image(
    image: NDArray[np.uint8], matrix: Matrix, side: int, ground: tuple[int, int, int] = (0, 0, 0)
) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8 through `matrix` to (side, side, 3), outside `ground`; halved if it shrinks a lot."""
    while math.sqrt(abs(np.linalg.det(matrix[:2, :2]))) < 0.6:
        rows, columns = image.shape[:2]
        image = np.asarray(cv2.resize(image, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix @ np.diag([columns / (columns // 2), rows / (rows // 2), 1.0])
    moved = _pixel_matrix(matrix)[:2]
    return np.asarray(cv2.warpAffine(image, moved, (side, side), flags=cv2.INTER_LINEAR, borderValue=ground), np.uint8)


def warp_labels(labels: NDArray[Number], matrix: Matrix, side: int) -> NDArray[Number]:
    """(rows, columns) uint8 or uint16 ids through `matrix` to (side, side), nearest neighbour; outside is 0."""
    moved = _pixel_matrix(matrix)[:2]
    return np.asarray(cv2.warpAffine(labels, moved, (side, side), flags=cv2.INTER_NEAREST), labels.dtype)


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
