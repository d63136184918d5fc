"""Outlines of the things in synthetic scenes, and their masks. Points are (x, y) in pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def blob(
    rng: np.random.Generator, centre: Points, radius: float, roughness: float = 0.25, aspect: float = 1.0
) -> Points:
    """A closed outline (72, 2) of an irregular, rounded lump: an ellipse whose radius wanders, turned at random.

    Args:
        radius: mean radius, pixels.
        roughness: relative deviation of the radius.
        aspect: long axis over short axis.
    """
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = np.arange(2, 9)
    strength = rng.normal(0, 1, 7) / waves
    phase = rng.uniform(0, 2 * np.pi, 7)
    wander = (strength[:, None] * np.cos(waves[:, None] * angle + phase[:, None])).sum(0)
    reach = radius * np.clip(1 + roughness * 1.6 * wander, 0.25, 2.0)
    outline = np.stack([np.cos(angle) * np.sqrt(aspect), np.sin(angle) / np.sqrt(aspect)], 1) * reach[:, None]
    return rotated(outline, rng.uniform(0, 2 * np.pi)) + centre


def polygon(rng: np.random.Generator, centre: Points, radius: float) -> Points:
    """A closed outline of three to nine straight sides, convex or star-like."""
    corners = int(rng.integers(3, 10))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    return np.stack([np.cos(angle), np.sin(angle)], 1) * (radius * rng.uniform(0.4, 1.3, corners))[:, None] + centre


def curve(rng: np.random.Generator, start: Points, end: Points, bend: float, steps: int = 24) -> Points:
    """A path (steps, 2) from `start` to `end` that swings aside by up to `bend` times its length."""
    along = np.linspace(0, 1, steps)
    chord = end - start
    normal = np.array([-chord[1], chord[0]])
    swing = sum(rng.normal(0, bend / k) * np.sin(np.pi * k * along) for k in (1, 2, 3))
    return np.asarray(start + along[:, None] * chord + np.asarray(swing)[:, None] * normal)


def band(path: Points, widths: Points | float) -> Points:
    """The closed outline of a path drawn with a pen of the given widths (pixels; one, or one per point)."""
    tangent = np.gradient(path, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.broadcast_to(np.asarray(widths, np.float64) / 2, len(path))[:, None]
    return np.concatenate([path + normal * half, (path - normal * half)[::-1]])


def rotated(points: Points, angle_rad: float) -> Points:
    """Points turned about the origin."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def fill(shape: tuple[int, int], *outlines: Points) -> NDArray[np.uint8]:
    """The mask (rows, columns), 0 or 255 with anti-aliased edges, of one or more closed outlines."""
    mask = np.zeros(shape, np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask


def any_shape(rng: np.random.Generator, size: int, centre: Points, radius: float) -> NDArray[np.uint8]:
    """The mask (size, size) of any kind of shape: lump, polygon, crescent, ring, worm, or several lumps."""
    kind = rng.integers(0, 7)
    if kind == 0:
        return fill((size, size), polygon(rng, centre, radius * 1.2))
    if kind == 1:
        reach = rotated(np.array([radius * 2, 0.0]), rng.uniform(0, 2 * np.pi))
        path = curve(rng, centre - reach, centre + reach, 0.3)
        return fill((size, size), band(path, radius * rng.uniform(0.25, 0.7, 2).repeat(12)))
    mask = fill((size, size), blob(rng, centre, radius, rng.uniform(0.05, 0.5), rng.uniform(1, 3)))
    if kind == 2:
        shift = rotated(np.array([radius * rng.uniform(0.4, 0.9), 0.0]), rng.uniform(0, 2 * np.pi))
        return np.asarray(np.minimum(mask, 255 - fill((size, size), blob(rng, centre + shift, radius * 0.9))), np.uint8)
    if kind == 3:
        hole = fill((size, size), blob(rng, centre, radius * rng.uniform(0.3, 0.6)))
        return np.asarray(np.minimum(mask, 255 - hole), np.uint8)
    if kind == 4:
        for _ in range(int(rng.integers(1, 4))):
            aside = rng.normal(0, radius * 0.7, 2)
            mask = np.maximum(mask, fill((size, size), blob(rng, centre + aside, radius * rng.uniform(0.3, 0.8))))
    return mask
