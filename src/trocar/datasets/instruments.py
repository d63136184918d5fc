"""Articulated surgical instruments and other sprites that are laid over a rendered frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.optics import Motion, wander
from trocar.datasets.shapes import band, curve, fill
from trocar.datasets.texture import Material, render

Image = NDArray[np.uint8]
Affine = NDArray[np.float64]


@dataclass
class Picture:
    """A frame while it is painted: `image` (rows, columns, 3) RGB and `labels` (rows, columns), changed in place."""

    image: Image
    labels: Image

    def paste(self, sprite: Image, affine: Affine, object_id: int | None) -> None:
        """Lay a sprite over the frame.

        Args:
            sprite: (h, w, 4) RGB and opacity.
            affine: 2x3 map from sprite pixels (x, y) to frame pixels.
            object_id: written to the labels where the sprite covers more than half a pixel (0: hides what is below
                without being an object); None leaves the labels alone.
        """
        h, w = sprite.shape[:2]
        corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]]) @ affine.T
        limit = np.array(self.labels.shape[::-1])
        low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, limit)
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, limit)
        if (high - low).min() < 2:
            return
        local = affine.copy()
        local[:, 2] -= low
        cut = cv2.warpAffine(sprite, local, (int(high[0] - low[0]), int(high[1] - low[1])))
        window = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
        alpha = cut[..., 3].astype(np.float32) / 255
        self.image[window] = cv2.blendLinear(
            np.ascontiguousarray(cut[..., :3]), np.ascontiguousarray(self.image[window]), alpha, 1 - alpha
        )
        if object_id is not None:
            self.labels[window][cut[..., 3] > 127] = object_id


def placed(anchor: tuple[float, float], at: NDArray[np.float64], angle_rad: float, scale: float = 1.0) -> Affine:
    """The map that turns and scales a sprite about its `anchor` pixel and puts that pixel at `at` (x, y)."""
    cos, sin = np.cos(angle_rad) * scale, np.sin(angle_rad) * scale
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, (at - turn @ np.array(anchor))[:, None]])


def rod(
    rng: np.random.Generator, length: int, width: int, colour: NDArray[np.float64], gloss: float, marked: float = 0.3
) -> Image:
    """A straight round bar along x, (width + 4, length, 4), shaded as a cylinder; `marked` is the chance of marks."""
    across = (np.arange(width + 4) - (width + 3) / 2) / (width / 2)
    shade = 0.3 + 0.7 * np.sqrt(np.clip(1 - (across - rng.uniform(-0.4, 0.4)) ** 2, 0, 1))
    glint = gloss * 200 * np.exp(-(((across - rng.uniform(-0.5, 0.5)) / rng.uniform(0.06, 0.3)) ** 2))
    body = colour[None, :] * shade[:, None] + glint[:, None]
    along = np.repeat(rng.normal(0, 6, length // 8 + 1), 8)[:length]
    picture = body[:, None, :] + cv2.GaussianBlur(along[None, :], (0, 0), 6)[..., None] + rng.normal(0, 3, (1, 1, 3))
    if rng.random() < marked:  # rings, windows and marks along the shaft
        for _ in range(int(rng.integers(1, 6))):
            start = int(rng.integers(0, length))
            picture[:, start : start + int(rng.integers(2, 14))] *= rng.uniform(0.3, 1.6)
    alpha = 255 * np.clip((1.02 - np.abs(across)) * width / 4 + 0.5, 0, 1)
    full = np.broadcast_to(alpha[:, None, None], (width + 4, length, 1))
    return np.concatenate([np.clip(picture, 0, 255), full], 2).astype(np.uint8)


def blade(rng: np.random.Generator, length: int, width: float, bend: float, colour: NDArray[np.float64]) -> Image:
    """A tapering, bent jaw along x that starts at the middle of its left edge, (h, length, 4)."""
    h = int(width * 2 + 2 * abs(bend) * length + 6)
    x = np.linspace(0, length - 2, 16)
    path = np.stack([x, h / 2 + bend * length * (x / length) ** 2], 1)
    widths = width * np.linspace(1, rng.uniform(0.25, 0.8), 16)
    alpha = fill((h, length), band(path, widths))
    light = np.clip((fill((h, length), band(path - [0, width * 0.2], widths * 0.4)) / 255.0), 0, 1)
    surface = rng.normal(0, 5, (h, length))
    if rng.random() < 0.5:  # teeth
        surface += 22 * (np.arange(length) // max(2, length // 14) % 2)
    picture = colour * 0.75 + (light * rng.uniform(10, 70) + surface)[..., None]
    return np.dstack([np.clip(picture, 0, 255).astype(np.uint8), alpha])


#: class name -> (number of jaws, jaw length and width in shaft widths, bend, widest opening in radians)
TOOLS: dict[str, tuple[int, float, float, float, float]] = {
    "forceps": (2, 2.0, 0.45, 0.06, 0.7),
    "grasper": (2, 1.6, 0.55, 0.0, 0.9),
    "scissors": (2, 2.2, 0.35, 0.12, 0.8),
    "needle driver": (2, 1.0, 0.5, 0.0, 0.5),
    "hook": (1, 1.5, 0.28, 0.45, 0.0),
    "probe": (1, 1.4, 0.5, 0.0, 0.0),
    "suction tube": (0, 0.0, 0.0, 0.0, 0.0),
}


def tool_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Steel, black, white or coloured plastic; RGB."""
    kind = rng.integers(0, 5)
    if kind <= 1:
        return np.full(3, rng.uniform(110, 215)) + rng.normal(0, 8, 3)
    if kind == 2:
        return np.full(3, rng.uniform(12, 60)) + rng.normal(0, 4, 3)
    if kind == 3:
        return np.asarray(rng.uniform(20, 230, 3))
    return np.array([190, 120, 95]) * rng.uniform(0.6, 1.1) + rng.normal(0, 12, 3)  # steel that mirrors the tissue


@dataclass(frozen=True, eq=False)
class Parts:
    """What an instrument is made of.

    Args:
        shaft, wrist: bars along x, (h, length, 4) each.
        jaws: sprites that begin at the middle of their left edge; a second one is turned the other way when they open.
        width: the shaft's, pixels.
        opening: how far jaws open, radians.
    """

    shaft: Image
    wrist: Image
    jaws: Sequence[Image]
    width: int
    opening: float


def tool_parts(rng: np.random.Generator, size: int, kind: str) -> Parts:
    """The parts of an instrument of a kind in TOOLS, for a frame of `size` pixels."""
    jaws, jaw_length, jaw_width, bend, opening = TOOLS[kind]
    width = max(3, int(size * np.exp(rng.uniform(np.log(0.03), np.log(0.17)))))
    colour, metal = tool_colour(rng), tool_colour(rng) if rng.random() < 0.5 else np.full(3, rng.uniform(90, 190))
    shaft = rod(rng, int(size * 1.9), width, colour, rng.uniform(0, 0.8))
    stretch = rng.uniform(0.8, 1.5)
    blades = [
        blade(rng, int(max(6, width * jaw_length * stretch)), max(3.0, width * jaw_width), bend * side, metal)
        for side in (1, -1)[:jaws]
    ]
    wrist = rod(rng, max(6, int(width * rng.uniform(0.5, 1.6))), max(3, int(width * 0.85)), metal, 0.5)
    return Parts(shaft, wrist, blades, width, opening)


class Instrument:
    """An instrument that reaches in from beyond the frame, turns, opens its jaws, withdraws and returns."""

    def __init__(self, rng: np.random.Generator, size: int, object_id: int, parts: Parts, duration: float) -> None:
        self.object_id = object_id
        self._shaft, self._wrist, self._jaws, self._width = parts.shaft, parts.wrist, parts.jaws, parts.width
        side = rng.uniform(0, 2 * np.pi)
        self._pivot = size / 2 + size * rng.uniform(0.75, 1.1) * np.array([np.cos(side), np.sin(side)])
        aim = rng.normal(size / 2, size * 0.16, 2) - self._pivot
        self._reach, self._heading = float(np.hypot(*aim)), float(np.arctan2(aim[1], aim[0]))
        self._turn, self._push = wander(rng, 0.12, 90), wander(rng, 0.14 * size, 70)
        self._bend, self._open = wander(rng, 0.35, 80), wander(rng, parts.opening, 50)
        self._away = self._absence(rng, duration) if rng.random() < 0.6 else lambda time: 0.0
        self._shadow = rng.uniform(0, 0.5) * (rng.random() < 0.6)

    @staticmethod
    def _absence(rng: np.random.Generator, duration: float) -> Motion:
        """How far the instrument is withdrawn, 0 to 1: it comes and goes once or twice in a clip."""
        period, phase = max(12.0, duration * rng.uniform(0.4, 1.4)), rng.uniform(0, 2 * np.pi)
        bias = rng.uniform(-0.4, 0.8)
        return lambda time: float(np.clip(3 * (np.sin(2 * np.pi * time / period + phase) - bias), 0, 1))

    def draw(self, picture: Picture, time: float) -> None:
        """Paint the instrument as it is at this moment."""
        angle = self._heading + self._turn(time)
        depth = (self._reach + self._push(time)) * (1 - self._away(time)) - self._away(time) * self._width * 4
        direction = np.array([np.cos(angle), np.sin(angle)])
        tip = self._pivot + depth * direction
        h, w = self._shaft.shape[:2]
        body = placed((w - 1, h / 2), tip, angle)
        if self._shadow:
            dark = np.zeros((h, w, 4), np.uint8)
            dark[2:-2, :, 3] = int(255 * self._shadow)
            cast = body.copy()
            cast[:, 2] += (self._width * 0.35, self._width * 0.5)
            picture.paste(np.asarray(cv2.GaussianBlur(dark, (0, 0), 2), np.uint8), cast, None)
        bend = angle + self._bend(time) * (len(self._jaws) > 0)
        wrist_end = tip + np.array([np.cos(bend), np.sin(bend)]) * (self._wrist.shape[1] - 2)
        opening = abs(self._open(time))
        for jaw, side in zip(self._jaws, (1, -1), strict=False):
            turn = opening * side if len(self._jaws) == 2 else 0.0
            picture.paste(jaw, placed((0, jaw.shape[0] / 2), wrist_end, bend + turn), self.object_id)
        picture.paste(self._wrist, placed((1, self._wrist.shape[0] / 2), tip, bend), self.object_id)
        picture.paste(self._shaft, body, self.object_id)


class Drifter:
    """A flat thing of any shape and surface that wanders over the scene, leaves and returns."""

    def __init__(self, rng: np.random.Generator, object_id: int, sprite: Image, size: int) -> None:
        self.object_id = object_id
        self._sprite = sprite
        self._start = rng.uniform(0.1, 0.9, 2) * size
        reach = size * rng.choice([0.05, 0.2, 0.6])
        self._x, self._y = wander(rng, reach, 120), wander(rng, reach, 120)
        self._angle, self._scale = wander(rng, 0.6, 150), wander(rng, 0.25, 150)

    def draw(self, picture: Picture, time: float) -> None:
        """Paint the thing as it is at this moment."""
        at = self._start + np.array([self._x(time), self._y(time)])
        h, w = self._sprite.shape[:2]
        scale = float(np.exp(self._scale(time)))
        picture.paste(self._sprite, placed((w / 2, h / 2), at, self._angle(time), scale), self.object_id)


def sprite_of(rng: np.random.Generator, mask: Image, material: Material) -> Image:
    """A piece of the material cut to the mask (size, size), its edge more or less soft."""
    surface = render(rng, material, mask.shape[0])
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 1.5))
    inner = cv2.GaussianBlur(mask, (0, 0), mask.shape[0] / 16).astype(np.float32)[..., None] / 255
    dome = np.float32(rng.uniform(-0.2, 0.6))
    lit = np.clip(surface[..., :3] * (1 - dome + dome * inner), 0, 255)
    return np.dstack([lit.astype(np.uint8), soft])


def thread(rng: np.random.Generator, size: int) -> Image:
    """A suture: a thin dark or blue curve, as a sprite (size, size, 4)."""
    ends = rng.uniform(0.1, 0.9, (2, 2)) * size
    path = curve(rng, ends[0], ends[1], 0.4, 40)
    mask = fill((size, size), band(path, max(2.0, size * 0.012)))
    colour = np.broadcast_to(np.uint8(rng.choice([[20, 20, 26], [50, 60, 140], [225, 225, 230]])), (size, size, 3))
    return np.dstack([colour, mask])
