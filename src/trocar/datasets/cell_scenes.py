"""Synthetic microscopy and vessel images: time-lapse of single cells, blood smears, vessel trees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.canvas import clip_of
from trocar.datasets.clip import Clip
from trocar.datasets.optics import Optics, wander
from trocar.datasets.shapes import band, blob, fill
from trocar.datasets.texture import Float, Material, fractal_noise, render, vessels

Image = NDArray[np.uint8]
Colour = NDArray[np.float32]

#: stain -> (ground, body, nucleus) RGB
STAINS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "fluorescence": ((8, 8, 14), (40, 60, 110), (120, 160, 235)),
    "green": ((6, 12, 6), (60, 150, 60), (140, 240, 120)),
    "grey": ((22, 22, 22), (105, 105, 105), (190, 190, 190)),
    "haematoxylin": ((232, 196, 214), (214, 150, 186), (104, 62, 140)),
    "brown": ((226, 220, 214), (196, 178, 160), (122, 78, 50)),
    "phase": ((128, 128, 128), (142, 142, 142), (108, 108, 108)),
}


class Cell:
    """One cell that creeps and changes its outline: body with, perhaps, a nucleus."""

    def __init__(self, rng: np.random.Generator, size: int, radius: float, ids: tuple[int, int]) -> None:
        self.body_id, self.nucleus_id = ids
        self._radius = radius * float(np.exp(rng.normal(0, 0.2)))
        self._start = rng.uniform(-0.05, 1.05, 2) * size
        self._x, self._y = wander(rng, radius * 0.6, 120), wander(rng, radius * 0.6, 120)
        self._spin = wander(rng, 0.5, 150)
        self._outline = blob(rng, np.zeros(2), self._radius, rng.uniform(0.03, 0.3), rng.uniform(1, 2))
        self._swell = [(rng.normal(0, 0.3, 2), wander(rng, 0.15, 60)) for _ in range(2)]
        self._core = blob(rng, rng.normal(0, 0.12, 2) * self._radius, self._radius * rng.uniform(0.35, 0.65), 0.12)
        self.light = float(np.exp(rng.normal(0, 0.25)))

    def outlines(self, time: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The outlines of body and nucleus at this moment, pixels."""
        turn = self._spin(time)
        cos, sin = np.cos(turn), np.sin(turn)
        spin = np.array([[cos, sin], [-sin, cos]])
        at = self._start + np.array([self._x(time), self._y(time)])
        body = self._outline.copy()
        for direction, beat in self._swell:
            body *= 1 + beat(time) * np.tanh(body @ direction / self._radius)[:, None]
        return body @ spin + at, self._core @ spin + at


@dataclass(frozen=True)
class Paint:
    """How a cell is painted.

    Args:
        colour: RGB.
        texture: grey levels added to it, (size, size).
        soft: deviation of the blur of its edge, pixels.
        rim: grey levels added along its edge.
        cover: its opacity, 0..1.
    """

    colour: Colour
    texture: Float
    soft: float = 1.0
    rim: float = 0.0
    cover: float = 1.0


class Dish:
    """The look of one specimen: what its cells are painted with."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        names = list(STAINS)
        colours = np.array(STAINS[names[rng.integers(len(names))]])
        self._ground, self._body, self._core = np.clip(colours + rng.normal(0, 12, (3, 3)), 0, 255).astype(np.float32)
        mottle = fractal_noise(rng, size, rng.uniform(2, 20), 3)
        self._base = self._ground * (1 + np.float32(rng.uniform(0.02, 0.15)) * mottle[..., None])
        self._paint = Paint(
            self._body,
            fractal_noise(rng, size, rng.uniform(12, 40), 3) * np.float32(rng.uniform(3, 22)),
            soft=float(rng.uniform(0.4, 1.8) * size / 256),
            rim=float(rng.choice([0.0, rng.uniform(-60, 70)])),
            cover=float(rng.uniform(0.55, 1.0)),
        )

    def picture(self, cells: list[Cell], time: float, cored: bool) -> tuple[Image, Image]:
        """The image and labels of all cells, later ones above."""
        image, labels = self._base.copy(), np.zeros(self._base.shape[:2], np.uint8)
        for cell in cells:
            body, core = cell.outlines(time)
            colour = (self._body if cored else self._core) * np.float32(cell.light)
            _stamp(image, labels, [body], replace(self._paint, colour=colour), cell.body_id)
            if cored:
                colour = self._core * np.float32(cell.light)
                _stamp(image, labels, [core], replace(self._paint, colour=colour), cell.nucleus_id)
        return np.clip(image, 0, 255).astype(np.uint8), labels


def _stamp(image: Float, labels: Image, outlines: list[NDArray[np.float64]], paint: Paint, object_id: int) -> None:
    """Paint closed outlines, pixels, onto the image and write their id to the labels."""
    size = len(labels)
    corners = np.concatenate(outlines)
    low = np.clip(np.floor(corners.min(0)).astype(int) - 6, 0, size)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 6, 0, size)
    if (high - low).min() < 3:
        return
    window = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    mask = fill((int(high[1] - low[1]), int(high[0] - low[0])), *(outline - low for outline in outlines))
    alpha = cv2.GaussianBlur(mask, (0, 0), paint.soft).astype(np.float32) / 255
    surface = (
        paint.colour + paint.texture[window][..., None] + np.float32(paint.rim) * (4 * alpha * (1 - alpha))[..., None]
    )
    image[window] += (surface - image[window]) * (alpha * np.float32(paint.cover))[..., None]
    labels[window][mask > 127] = object_id


def cell_clip(seed: int, frames: int = 4, size: int = 256) -> Clip:
    """A microscopy or vessel clip of one of the three kinds of this file; the seed draws which."""
    renderers = (timelapse_clip, smear_clip, vessel_clip)
    return renderers[np.random.default_rng([30, seed]).choice(3, p=[0.6, 0.2, 0.2])](seed, frames, size)


def timelapse_clip(seed: int, frames: int = 4, size: int = 256) -> Clip:
    """Living cells or nuclei under the microscope, each an object, touching and covering one another."""
    rng = np.random.default_rng([31, seed])
    dish, optics = Dish(rng, size), Optics(rng, size, endoscope=False)
    radius = size * float(np.exp(rng.uniform(np.log(0.025), np.log(0.16))))
    count = int(np.clip(rng.uniform(0.1, 0.9) * size**2 / (4 * radius**2), 2, 40))
    cored = bool(rng.random() < 0.4) and radius > 0.05 * size
    classes: dict[int, str] = {}
    cells = []
    for index in range(count):
        ids = (2 * index + 1, 2 * index + 2)
        classes |= {ids[0]: "cell" if cored else "nucleus", ids[1]: "nucleus"}
        cells.append(Cell(rng, size, radius, ids))
    moments = rng.uniform(0, 500) + np.arange(frames) * np.exp(rng.uniform(0, np.log(15)))
    shots = [dish.picture(cells, float(time), cored) for time in moments]
    images = np.stack([optics.apply(image, float(time)) for (image, _), time in zip(shots, moments, strict=True)])
    return clip_of(f"timelapse-{seed}", images, np.stack([labels for _, labels in shots]), classes)


def smear_clip(seed: int, frames: int = 4, size: int = 256) -> Clip:
    """An image set of stained blood: one white cell with a lobed nucleus among red cells on every image."""
    rng = np.random.default_rng([32, seed])
    ground = rng.uniform((205, 190, 185), (245, 236, 236)).astype(np.float32)
    red = Paint(
        rng.uniform((180, 110, 100), (225, 170, 165)).astype(np.float32),
        fractal_noise(rng, size, 5, 3) * 4,
        cover=0.85,
    )
    grain = fractal_noise(rng, size, 40, 2)
    body = Paint(
        rng.uniform((150, 140, 175), (210, 195, 220)).astype(np.float32), grain * np.float32(rng.uniform(2, 12))
    )
    core = Paint(rng.uniform((70, 30, 90), (130, 80, 160)).astype(np.float32), grain * np.float32(rng.uniform(3, 14)))
    optics = Optics(rng, size, endoscope=False)
    images, labels = np.empty((frames, size, size, 3), np.uint8), np.zeros((frames, size, size), np.uint8)
    for index in range(frames):
        image = np.tile(ground, (size, size, 1)) + red.texture[..., None]
        cell = size * rng.uniform(0.11, 0.3)
        for _ in range(int(rng.integers(4, 18))):
            at, radius = rng.uniform(0, size, 2), cell * rng.uniform(0.5, 0.8)
            outline = blob(rng, at, radius, 0.06)
            _stamp(image, labels[index], [outline], red, 0)
            pale = replace(red, colour=red.colour + 18, soft=float(radius * 0.3), cover=0.8)
            _stamp(image, labels[index], [at + (outline - at) * 0.4], pale, 0)
        at = rng.uniform(0.3, 0.7, 2) * size
        _stamp(image, labels[index], [blob(rng, at, cell, 0.08)], body, 2)
        lobes = at + rng.normal(0, cell * 0.25, (int(rng.integers(1, 5)), 2))
        _stamp(image, labels[index], [blob(rng, lobe, cell * rng.uniform(0.3, 0.45), 0.12) for lobe in lobes], core, 1)
        images[index] = optics.apply(np.clip(image, 0, 255).astype(np.uint8), float(index * 50))
    return clip_of(f"smear-{seed}", images, labels, {1: "nucleus", 2: "cytoplasm"}, ordered=False)


def vessel_clip(seed: int, frames: int = 4, size: int = 256) -> Clip:
    """An image set of vessel trees: eye grounds with their disc, or angiograms; another tree on every image."""
    rng = np.random.default_rng([33, seed])
    optics = Optics(rng, size, endoscope=False)
    eye = rng.random() < 0.6
    dark, light = ((150, 60, 20), (215, 120, 60)) if eye else ((140, 140, 140), (200, 200, 200))
    ground = Material(dark, light, cells=3, grain=3, relief=2)
    images, labels = np.empty((frames, size, size, 3), np.uint8), np.zeros((frames, size, size), np.uint8)
    rows, columns = np.mgrid[0:size, 0:size]
    rim = np.hypot(rows - size / 2, columns - size / 2) > size * rng.uniform(0.46, 0.6)
    for index in range(frames):
        image = render(rng, replace(ground, cells=rng.uniform(2, 5)), size)[..., :3]
        root = rng.uniform((0.15, 0.35), (0.85, 0.65)) * size
        if eye:
            disc = fill((size, size), blob(rng, root, size * rng.uniform(0.05, 0.1), 0.04))
            weight = cv2.GaussianBlur(disc, (0, 0), size / 100).astype(np.float32)[..., None] / 255
            image += (np.array([250, 215, 150], np.float32) - image) * weight * 0.8
            labels[index][disc > 127] = 2
        tree = fill((size, size), *_tree(rng, size, root))
        faint = vessels(rng, size, 8, 0.8) * np.float32(0.3)
        dense = cv2.GaussianBlur(tree, (0, 0), rng.uniform(0.4, 1.2)).astype(np.float32) / 255
        stain = np.array([0.35, 0.6, 0.6] if eye else [0.5, 0.5, 0.5], np.float32) * np.float32(rng.uniform(0.4, 1.2))
        image *= 1 - np.maximum(dense, faint)[..., None] * np.clip(stain, 0, 0.9)
        labels[index][tree > 127] = 1
        if eye:
            image[rim] = 4
            labels[index][rim] = 0
        images[index] = optics.apply(np.clip(image, 0, 255).astype(np.uint8), float(index * 50))
    return clip_of(f"vessel-{seed}", images, labels, {1: "vessels", 2: "optic disc"}, ordered=False)


def _tree(rng: np.random.Generator, size: int, root: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The outlines of the branches of a vessel tree that grows from `root`."""
    outlines: list[NDArray[np.float64]] = []
    width = size * rng.uniform(0.012, 0.035)
    stack = [(root, angle, width) for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(2, 6)))]
    while stack and len(outlines) < 60:
        start, heading, thick = stack.pop(0)
        steps = int(rng.integers(6, 14))
        headings = heading + np.cumsum(rng.normal(0, 0.12, steps))
        path = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * size * 0.02, 0)
        outlines.append(band(np.vstack([start, path]), np.linspace(thick, thick * 0.85, steps + 1)))
        if thick > size * 0.006:
            stack.append((path[-1], headings[-1] + rng.uniform(0.1, 0.5), thick * rng.uniform(0.65, 0.9)))
            stack.append((path[-1], headings[-1] - rng.uniform(0.1, 0.5), thick * rng.uniform(0.65, 0.9)))
    return outlines
