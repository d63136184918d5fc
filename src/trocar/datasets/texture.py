"""Procedural textures: noise, vessels and the materials that synthetic scenes are painted with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
RGB = tuple[float, float, float]


def fractal_noise(rng: np.random.Generator, size: int, cells: float, octaves: int = 4, stretch: float = 1.0) -> Float:
    """Noise of zero mean and unit deviation, (size, size): random grids, each twice as fine and weaker, summed.

    Args:
        cells: lumps along one side at the coarsest octave.
        stretch: how many times longer than wide a lump is, along the rows' direction (vertical).
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        across = int(np.clip(cells * 2**octave, 2, size))
        along = int(np.clip(cells * 2**octave / stretch, 2, size))
        grid = rng.standard_normal((along, across), np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) * np.float32(0.6**octave)
    total -= total.mean()
    return total / max(float(total.std()), 1e-6)


def turned(field: Float, angle_deg: float) -> Float:
    """The field turned about its middle; what comes in from outside is a mirror image."""
    side = field.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle_deg, 1.0)
    return np.asarray(cv2.warpAffine(field, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101), np.float32)


def shading(height: Float, angle_rad: float) -> Float:
    """The slope of a height field towards a light in the direction `angle_rad`, scaled to unit deviation."""
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) * np.float32(np.cos(angle_rad))
    slope += cv2.Sobel(height, cv2.CV_32F, 0, 1) * np.float32(np.sin(angle_rad))
    return np.asarray(slope / max(float(slope.std()), 1e-6), np.float32)


def vessels(rng: np.random.Generator, size: int, count: int, width: float) -> Float:
    """A density in 0..1, (size, size), of branching curves that wander and taper."""
    canvas = np.zeros((size, size), np.uint8)
    stack = [(rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi), width * rng.uniform(0.5, 1.5)) for _ in range(count)]
    drawn = 0
    while stack and drawn < 4 * count:
        start, heading, thick = stack.pop()
        steps = int(rng.integers(8, 25))
        headings = heading + np.cumsum(rng.normal(0, 0.25, steps))
        path = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * size * 0.016, 0)
        shade = int(255 * rng.uniform(0.4, 1))
        cv2.polylines(canvas, [(path * 16).astype(np.int32)], False, shade, max(1, round(thick)), cv2.LINE_AA, 4)
        drawn += 1
        if thick > 0.8 and rng.random() < 0.8:
            for _ in range(int(rng.integers(1, 3))):
                at = int(rng.integers(1, steps))
                stack.append((path[at], headings[at] + rng.choice([-1, 1]) * rng.uniform(0.3, 1.0), thick * 0.65))
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6 + 0.15 * width), np.float32) / np.float32(255)


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Args:
        dark, light: RGB (0..255) of the two ends between which its colour wanders.
        cells: coarse lumps along one side of the picture.
        grain: strength of the fine grain, in grey levels.
        stretch: how stretched the pattern is (1: alike in every direction); it is turned at random.
        vessels: how many vessels cross the surface.
        relief: strength of its bumps, in grey levels.
        gloss: how readily it shows highlights, 0..1.
    """

    dark: RGB
    light: RGB
    cells: float = 4
    grain: float = 4
    stretch: float = 1
    vessels: int = 0
    relief: float = 6
    gloss: float = 0.5


TISSUES: dict[str, Material] = {
    "mucosa": Material((168, 78, 66), (226, 140, 118), cells=4, vessels=14, relief=7, gloss=0.7),
    "pale mucosa": Material((190, 128, 108), (236, 190, 160), cells=4, vessels=10, relief=6, gloss=0.6),
    "fold": Material((178, 112, 82), (238, 182, 140), cells=14, stretch=7, vessels=5, relief=10, gloss=0.6),
    "inflamed": Material((140, 34, 30), (206, 86, 76), cells=6, vessels=18, relief=9, gloss=0.8),
    "liver": Material((82, 30, 28), (140, 62, 52), cells=3, grain=3, vessels=3, relief=4, gloss=0.8),
    "fat": Material((186, 138, 60), (242, 208, 128), cells=9, vessels=6, relief=15, gloss=0.8),
    "bowel": Material((184, 116, 104), (230, 168, 150), cells=4, vessels=20, relief=9, gloss=0.9),
    "muscle": Material((120, 40, 38), (188, 92, 80), cells=10, stretch=8, vessels=4, relief=12, gloss=0.5),
    "gallbladder": Material((96, 112, 78), (158, 168, 122), cells=3, vessels=8, relief=4, gloss=0.9),
    "fascia": Material((196, 176, 164), (238, 224, 214), cells=8, stretch=5, vessels=6, relief=8, gloss=0.8),
    "charred": Material((30, 22, 18), (120, 84, 62), cells=12, grain=9, relief=18, gloss=0.3),
    "bone": Material((206, 186, 148), (240, 228, 200), cells=7, grain=5, relief=8, gloss=0.5),
    "granular": Material((176, 94, 44), (230, 164, 96), cells=18, grain=8, relief=16, gloss=0.7),
}
OBJECTS: dict[str, Material] = {
    "retractor": Material((84, 76, 66), (140, 128, 112), cells=6, grain=8, relief=9, gloss=0.2),
    "gauze": Material((190, 184, 176), (246, 244, 240), cells=24, grain=14, relief=22, gloss=0.1),
    "drape": Material((40, 88, 120), (90, 140, 168), cells=5, grain=5, relief=9, gloss=0.1),
    "plastic": Material((188, 196, 200), (232, 236, 236), cells=2, grain=2, relief=3, gloss=0.9),
    "cavity": Material((6, 4, 4), (52, 24, 22), cells=4, grain=4, relief=4, gloss=0.2),
    "clot": Material((66, 6, 8), (124, 20, 20), cells=7, grain=5, relief=12, gloss=0.9),
}


def _rgb(colour: NDArray[np.float64]) -> RGB:
    red, green, blue = np.clip(colour, 0, 255).tolist()
    return red, green, blue


def varied(rng: np.random.Generator, material: Material, amount: float = 1.0) -> Material:
    """A neighbour of the material: `amount` 1 changes it as patients differ, 0.3 barely enough to be seen."""
    tint = rng.normal(0, 13 * amount, 3) + rng.normal(0, 14 * amount)
    dark = np.asarray(material.dark) + tint
    light = np.asarray(material.light) + tint + rng.normal(0, 6 * amount, 3)
    low, high = np.exp(-0.5 * amount), np.exp(0.5 * amount)
    return replace(
        material,
        dark=_rgb(dark),
        light=_rgb(light),
        cells=material.cells * rng.uniform(low, high),
        grain=material.grain * rng.uniform(low, high),
        stretch=max(1.0, material.stretch * rng.uniform(low, high)),
        vessels=int(material.vessels * rng.uniform(0, 2)),
        relief=material.relief * rng.uniform(low, high),
    )


def nearby(rng: np.random.Generator, material: Material) -> Material:
    """A material that lies close to another, yet can be told from it: 14 to 45 grey levels away in RGB."""
    close = varied(rng, material, 0.3)
    way = rng.normal(0, 1, 3) + rng.choice([-1.0, 1.0])  # brightness differs more often than hue
    step = way / np.linalg.norm(way) * rng.uniform(14, 45)
    return replace(close, dark=_rgb(np.asarray(material.dark) + step), light=_rgb(np.asarray(material.light) + step))


def any_material(rng: np.random.Generator) -> Material:
    """A material of any colour and pattern at all."""
    dark, light = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.6:  # most surfaces vary in brightness more than in hue
        light = dark + rng.uniform(-60, 60) + rng.normal(0, 15, 3)
    return Material(
        _rgb(dark),
        _rgb(light),
        cells=float(rng.uniform(2, 24)),
        grain=float(rng.uniform(0, 12)),
        stretch=float(rng.choice([1, 1, 4, 9])),
        vessels=int(rng.choice([0, 0, 8, 20])),
        relief=float(rng.uniform(0, 16)),
        gloss=float(rng.uniform(0, 1)),
    )


def render(rng: np.random.Generator, material: Material, size: int, angle_deg: float | None = None) -> Float:
    """Paint a square of the material.

    Args:
        angle_deg: direction of a stretched pattern, degrees anticlockwise from vertical; drawn at random when None.

    Returns:
        (size, size, 4): RGB in 0..255 (not yet clipped) and the glossiness of each pixel, which grows where its bumps
        face the light.
    """
    pattern = fractal_noise(rng, size, material.cells, 4, material.stretch)
    height = fractal_noise(rng, size, material.cells * 2.5, 3, material.stretch)
    if material.stretch > 1:
        angle = rng.uniform(0, 180) if angle_deg is None else angle_deg
        pattern, height = turned(pattern, angle), turned(height, angle)
    mix = 1 / (1 + np.exp(np.float32(-1.3) * pattern))
    slope = shading(height, rng.uniform(0, 2 * np.pi))
    grain = rng.standard_normal((size // 2, size // 2), np.float32)
    lift = slope * np.float32(material.relief)
    lift += cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR) * np.float32(material.grain)
    dark, light = np.asarray(material.dark, np.float32), np.asarray(material.light, np.float32)
    out = np.empty((size, size, 4), np.float32)
    for channel in range(3):
        out[..., channel] = dark[channel] + mix * (light[channel] - dark[channel]) + lift
    if material.vessels:
        density = vessels(rng, size, material.vessels, rng.uniform(0.8, 2.2) * size / 320)
        stain = np.asarray(rng.uniform((0.15, 0.45, 0.4), (0.45, 0.8, 0.8)), np.float32)
        for channel in range(3):
            out[..., channel] *= 1 - density * stain[channel]
    np.clip(120 + 45 * slope, 0, 255, out=out[..., 3])
    out[..., 3] *= np.float32(material.gloss)
    return out
