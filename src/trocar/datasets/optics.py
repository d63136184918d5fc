"""What light, lens, sensor and codec do to a rendered frame; and the smooth motions everything follows."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.texture import Float, fractal_noise

Image = NDArray[np.uint8]
Motion = Callable[[float], float]


def times(rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """Moments of the frames, in video frames: steps of 1 to 20, alike over the clip, and now and then a jump."""
    gap = np.exp(rng.uniform(0, np.log(20)))
    steps = gap * rng.uniform(0.8, 1.2, frames)
    steps[rng.random(frames) < 0.03] += rng.uniform(5, 40)
    return np.asarray(rng.uniform(0, 1000) + np.cumsum(steps))


def wander(rng: np.random.Generator, amplitude: float, slowest: float = 160.0) -> Motion:
    """A smooth function of time about zero: three oscillations, the slowest of about `slowest` video frames."""
    period = slowest * rng.uniform(0.6, 1.4, 3) / np.array([1, 2.3, 5.1])
    size = amplitude * rng.normal(0, 1, 3) * np.array([0.8, 0.35, 0.12])
    phase = rng.uniform(0, 2 * np.pi, 3)
    return lambda time: float((size * np.sin(2 * np.pi * time / period + phase)).sum())


class Optics:
    """The look of one clip, drawn once and applied to each of its frames."""

    def __init__(self, rng: np.random.Generator, size: int, endoscope: bool = True) -> None:
        self._rng = rng
        self._size = size
        grid = np.linspace(-0.5, 0.5, size, dtype=np.float32)
        spot = np.asarray(rng.normal(0, 0.12, 2), np.float32)
        radius = np.hypot(grid[None, :] - spot[0], grid[:, None] - spot[1])
        falloff = rng.uniform(0.1, 1.7) if endoscope else rng.uniform(0, 0.5)
        self._light = (1.08 - falloff * radius**2) * (1 + 0.06 * fractal_noise(rng, size, 2, 2) * (rng.random() < 0.5))
        self._white = np.exp(rng.normal(0, (0.06, 0.04, 0.06))) * np.exp(rng.normal(-0.03, 0.13 if endoscope else 0.05))
        self._gamma = np.exp(rng.normal(0, 0.16))
        self._contrast = rng.uniform(0.55, 1.25 if endoscope else 1.0)
        self._saturation = rng.uniform(0.5, 1.25)
        self._flicker = wander(rng, rng.choice([0.02, 0.05, 0.12]), 60)
        self._blur = rng.choice([0.0, 0.5, 0.9, 1.6], p=[0.35, 0.3, 0.25, 0.1]) * size / 256
        self._sharpen = rng.choice([0.0, 0.8, 1.8], p=[0.4, 0.3, 0.3])
        self._noise = rng.choice([1.0, 3.0, 7.0, 12.0], p=[0.35, 0.35, 0.2, 0.1])
        self._quality = int(rng.choice([0, 90, 60, 35], p=[0.3, 0.3, 0.25, 0.15]))
        self._grain = rng.standard_normal((size, size, 3), np.float32) * np.float32(self._noise)
        self._smoke = fractal_noise(rng, size, 2.5, 3) if endoscope and rng.random() < 0.15 else None
        self._haze = wander(rng, 0.5, 80)
        self._lens = self._circle(grid, spot) if endoscope and rng.random() < 0.2 else None

    def _circle(self, grid: Float, spot: Float) -> NDArray[np.bool_]:
        reach = self._rng.uniform(0.45, 0.62)
        middle = spot * np.float32(0.3)
        return np.asarray(np.hypot(grid[None, :] - middle[0], grid[:, None] - middle[1]) > reach)

    @property
    def lens(self) -> NDArray[np.bool_] | None:
        """The pixels outside the round picture of an endoscope, black and without objects; None when it has none."""
        return self._lens

    def apply(self, image: Image, time: float, speed: tuple[float, float] = (0.0, 0.0)) -> Image:
        """The picture that is recorded of the rendered frame.

        Args:
            image: (size, size, 3) RGB; not changed.
            time: moment, in video frames.
            speed: how far the picture moves while the shutter is open, pixels (x, y).
        """
        picture = self._optical(image, speed).astype(np.float32)
        picture *= (self._light * np.float32(1 + self._flicker(time)))[..., None]
        if self._smoke is not None:
            drift = np.array([[1, 0, time * 0.7], [0, 1, -time * 1.5]])
            smoke = cv2.warpAffine(self._smoke, drift, (self._size, self._size), borderMode=cv2.BORDER_REFLECT)
            veil = np.clip(0.25 * smoke + np.float32(0.15 + self._haze(time)), 0, 0.75)[..., None]
            picture += (np.float32(195) - picture) * veil
        develop = self._development(float(np.mean(cv2.mean(picture)[:3])))
        picture = np.asarray(cv2.transform(picture, develop), np.float32)
        shift = self._rng.integers(0, self._size, 2)
        picture += np.roll(self._grain, (int(shift[0]), int(shift[1])), (0, 1))
        np.clip(picture, 0, 255, out=picture)
        curve = (255 * (np.arange(256) / 255) ** self._gamma).astype(np.uint8)
        recorded = np.asarray(cv2.LUT(picture.astype(np.uint8), curve), np.uint8)
        if self._lens is not None:
            recorded[self._lens] = self._rng.integers(0, 12)
        return compressed(recorded, self._quality)

    def _development(self, level: float) -> NDArray[np.float64]:
        """The colour map (3, 4): saturation about each pixel's grey, contrast about `level`, white balance."""
        mix = self._saturation * np.eye(3) + (1 - self._saturation) / 3
        rows = np.hstack([mix * self._contrast, np.full((3, 1), level * (1 - self._contrast))])
        return np.asarray(rows * self._white[:, None])

    def _optical(self, image: Image, speed: tuple[float, float]) -> Image:
        out = np.asarray(image)
        length = int(min(np.hypot(*speed), 15))
        if length >= 2:
            kernel = np.zeros((length, length), np.float32)
            middle = (length - 1) / 2
            reach = np.asarray(speed) / np.hypot(*speed) * middle
            ends = [(round(middle + s * reach[0]), round(middle + s * reach[1])) for s in (-1, 1)]
            cv2.line(kernel, ends[0], ends[1], 1.0)
            out = np.asarray(cv2.filter2D(out, -1, kernel / kernel.sum()), np.uint8)
        if self._blur > 0:
            out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(self._blur)), np.uint8)
        if self._sharpen > 0:
            soft = cv2.GaussianBlur(out, (0, 0), 1.5)
            out = np.asarray(cv2.addWeighted(out, 1 + self._sharpen, soft, -self._sharpen, 0), np.uint8)
        return out


def compressed(image: Image, quality: int) -> Image:
    """The RGB image after a round through JPEG at this quality; unchanged at quality 0."""
    if quality == 0:
        return image
    _, packed = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1], np.uint8)
