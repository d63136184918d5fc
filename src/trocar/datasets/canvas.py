"""The canvas on which a synthetic scene's anatomy is painted once, and the camera that looks at it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.clip import Clip
from trocar.datasets.instruments import Picture
from trocar.datasets.optics import wander
from trocar.datasets.shapes import fill
from trocar.datasets.texture import Float, Material, fractal_noise, render, vessels

Image = NDArray[np.uint8]
MARGIN = 1.4  # the canvas' side over the frame's: room for the camera to move


class Canvas:
    """Anatomy as the camera may see it: surface (side, side, 4; RGB and gloss) and object ids (side, side)."""

    def __init__(self, rng: np.random.Generator, size: int, material: Material) -> None:
        self.size = size
        self.side = int(size * MARGIN)
        self.surface: Float = render(rng, material, self.side)
        self.labels: Image = np.zeros((self.side, self.side), np.uint8)
        self.classes: dict[int, str] = {}
        self._rng = rng

    def add(self, class_name: str) -> int:
        """The id of a new object of this class."""
        object_id = len(self.classes) + 1
        self.classes[object_id] = class_name
        return object_id

    def mask(self, *outlines: NDArray[np.float64]) -> Image:
        """The mask of closed outlines given in canvas pixels."""
        return fill((self.side, self.side), *outlines)

    def paint(self, mask: Image, material: Material, object_id: int, angle_deg: float | None = None) -> None:
        """Paint a region: its surface, its rounding towards the edge, its shadow or pale rim, and its label."""
        rng, scale = self._rng, self.size / 256
        left, top, width, height = cv2.boundingRect(mask)
        if width == 0:
            return
        pad = int(24 * scale)
        window = (slice(max(0, top - pad), top + height + pad), slice(max(0, left - pad), left + width + pad))
        mask, below = mask[window], self.surface[window]
        square = max(mask.shape)  # the material is painted no larger than it will be seen
        fitted = replace(
            material, cells=material.cells * square / self.side, vessels=material.vessels * square // self.side
        )
        surface = render(rng, fitted, square, angle_deg)[: mask.shape[0], : mask.shape[1]]
        inside = mask > 127
        depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
        dome = np.float32(rng.choice([0.0, rng.uniform(-0.25, 0.6)], p=[0.2, 0.8]))
        shade = 1 - dome * np.exp(-depth / np.float32(scale * rng.uniform(2.5, 23)))
        halo = np.float32(rng.uniform(-0.12, 0.45) * (rng.random() < 0.6))  # a shadow, or light that comes through
        around = cv2.GaussianBlur(mask, (0, 0), scale * rng.uniform(2, 9)).astype(np.float32) * (halo / 255)
        alpha = cv2.GaussianBlur(mask, (0, 0), float(rng.choice([0.5, 1.0, 2.0, 3.5]) * scale))
        weight = alpha.astype(np.float32) / 255
        for channel in range(4):
            layer, paint = below[..., channel], surface[..., channel]
            if channel < 3:
                layer *= 1 - around
                paint = paint * shade
            layer += (paint - layer) * weight
        self.labels[window][inside] = object_id

    def unify(self) -> None:
        """Lay over everything what crosses the edges of objects: shade, stains and vessels."""
        rng = self._rng
        shade = fractal_noise(rng, self.side, rng.uniform(1.5, 4), 3)
        self.surface[..., :3] *= (1 + np.float32(rng.uniform(0.02, 0.14)) * shade)[..., None]
        if rng.random() < 0.5:
            stain = np.clip(fractal_noise(rng, self.side, rng.uniform(3, 12), 3) - rng.uniform(0.8, 2), 0, 1)
            colour = np.float32(rng.choice([[120, 14, 14], [150, 40, 30], [190, 150, 80], [225, 200, 185]]))
            stain *= np.float32(rng.uniform(0.2, 0.8))
            self.surface[..., :3] += (colour - self.surface[..., :3]) * stain[..., None]
        if rng.random() < 0.4:
            density = vessels(rng, self.side, int(rng.integers(4, 14)), rng.uniform(1, 3) * self.size / 256)
            self.surface[..., 1:3] *= (1 - np.float32(rng.uniform(0.2, 0.6)) * density)[..., None]


class Pool:
    """Blood that seeps from a point of the canvas and spreads in time."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas, object_id: int) -> None:
        self.object_id = object_id
        rows, columns = np.mgrid[0 : canvas.side, 0 : canvas.side].astype(np.float32)
        at = rng.uniform(0.3, 0.7, 2) * canvas.side
        away = np.hypot(columns - np.float32(at[0]), rows - np.float32(at[1])) / np.float32(canvas.size)
        self.front = away + np.float32(0.09) * fractal_noise(rng, canvas.side, 6, 4)
        self._colour = rng.uniform((70, 4, 4), (150, 22, 18)).astype(np.float32)
        self._grow, self._start = rng.uniform(0.001, 0.006), rng.uniform(0.0, 0.14)
        self._cover = np.float32(rng.uniform(0.7, 0.97))

    def draw(self, picture: Picture, front: Float, elapsed: float) -> None:
        """Paint the pool; `front` is its arrival map as the camera sees it, `elapsed` in video frames."""
        level = np.float32(min(self._start + self._grow * elapsed, 0.35))
        weight = np.clip((level - front) * 40 + 0.5, 0, 1) * self._cover
        thick = 1 + np.float32(0.5) * np.exp((front - level) * 30)  # thin and bright at the rim
        mixed = picture.image + (self._colour * thick[..., None] - picture.image) * weight[..., None]
        picture.image[:] = np.clip(mixed, 0, 255).astype(np.uint8)
        picture.labels[front < level] = self.object_id


def seen(field: NDArray[Any], where: Float, how: int = cv2.INTER_LINEAR) -> NDArray[Any]:
    """A field over the canvas (side, side, ...) at the canvas coordinates that each pixel of the frame sees."""
    return cv2.remap(field, where[0], where[1], how, borderMode=cv2.BORDER_REFLECT_101)


class Camera:
    """How the frame looks at the canvas: it pans, turns and zooms while the tissue below it deforms."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas, pinch: Float | None = None) -> None:
        size = canvas.size
        self._size, self._side = size, canvas.side
        self._surface = np.clip(canvas.surface, 0, 255).astype(np.uint8)
        self._labels = canvas.labels
        calm = rng.choice([0.15, 0.5, 1.0])
        self._x, self._y = wander(rng, 0.12 * size * calm), wander(rng, 0.12 * size * calm)
        self._angle, self._zoom = wander(rng, 0.18 * calm, 220), wander(rng, 0.16 * calm, 220)
        self._base = float(np.exp(rng.uniform(-0.15, 0.45)))
        self._waves = [self._wave(rng) for _ in range(2)]
        self._beat = [wander(rng, size * rng.choice([0.0, 0.006, 0.018]), 40) for _ in self._waves]
        self._pinch, self._squeeze = pinch, wander(rng, 1.0, 60)
        self._columns, self._rows = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
        self._sheen, self._glare = fractal_noise(rng, size, 4, 2), rng.uniform(165, 290)

    def _wave(self, rng: np.random.Generator) -> Float:
        coarse = rng.standard_normal((5, 5, 2), np.float32)
        wave = cv2.resize(coarse, (self._size, self._size), interpolation=cv2.INTER_CUBIC)
        return np.ascontiguousarray(np.moveaxis(wave, 2, 0), np.float32)

    def look(self, time: float) -> NDArray[np.float32]:
        """The canvas coordinates (x, y) that each pixel of the frame sees, (2, size, size)."""
        half, scale = self._size / 2, 1 / (self._base * np.exp(self._zoom(time)))
        cos, sin = np.cos(self._angle(time)) * scale, np.sin(self._angle(time)) * scale
        x, y = self._columns - np.float32(half), self._rows - np.float32(half)
        where = np.empty((2, self._size, self._size), np.float32)
        where[0] = np.float32(cos) * x - np.float32(sin) * y + np.float32(self._side / 2 + self._x(time))
        where[1] = np.float32(sin) * x + np.float32(cos) * y + np.float32(self._side / 2 + self._y(time))
        for wave, beat in zip(self._waves, self._beat, strict=True):
            where += wave * np.float32(beat(time))
        if self._pinch is not None:
            pull = seen(self._pinch, where)
            where += np.moveaxis(pull, 2, 0) * np.float32(self._squeeze(time))
        return where

    def shoot(self, where: NDArray[np.float32], time: float) -> Picture:
        """The frame as the anatomy alone would give it, wet highlights included."""
        surface = seen(self._surface, where)
        labels = seen(self._labels, where, cv2.INTER_NEAREST)
        image = np.ascontiguousarray(surface[..., :3], np.uint8)
        wet = surface[..., 3] + 30 * np.roll(self._sheen, int(time), 1)
        glint = np.clip((wet - np.float32(self._glare)) / 18, 0, 1)
        if glint.any():
            image = (image + (np.float32(250) - image) * glint[..., None]).astype(np.uint8)
        return Picture(image, np.ascontiguousarray(labels, np.uint8))

    def speed(self, time: float) -> tuple[float, float]:
        """Pixels that the picture moves within one video frame, (x, y)."""
        return (self._x(time + 0.5) - self._x(time - 0.5), self._y(time + 0.5) - self._y(time - 0.5))


def clip_of(name: str, images: Image, labels: Image, classes: dict[int, str], ordered: bool = True) -> Clip:
    """The clip without objects that never show more than a speck, ids renumbered from 1.

    An object stays when some frame shows at least 1/1500 of its pixels as that object (44 at 256 pixels).
    """
    speck = images.shape[1] * images.shape[2] // 1500
    area = np.stack([np.bincount(frame.ravel(), minlength=256) for frame in labels]).max(0)
    renumber = np.zeros(256, np.uint8)
    kept: dict[int, str] = {}
    for old, class_name in classes.items():
        if area[old] > speck:
            kept[len(kept) + 1] = class_name
            renumber[old] = len(kept)
    return Clip(name, images, renumber[labels], kept, ordered=ordered)
