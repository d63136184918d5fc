"""Synthetic surgical video: larynx, abdomen and scenes of arbitrary things, with instruments that come and go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.canvas import Camera, Canvas, Pool, clip_of, seen
from trocar.datasets.clip import Clip
from trocar.datasets.instruments import TOOLS, Drifter, Instrument, Picture, sprite_of, thread, tool_parts
from trocar.datasets.optics import Optics, times
from trocar.datasets.shapes import Points, any_shape, band, blob, curve, rotated
from trocar.datasets.texture import OBJECTS, TISSUES, Float, Material, any_material, fractal_noise, nearby, varied

Things = list[Instrument | Drifter]


def surgical_clip(seed: int, frames: int = 8, size: int = 256) -> Clip:
    """A surgical clip of one of the three kinds of this file; the seed draws which."""
    renderers = (larynx_clip, abdomen_clip, generic_clip)
    return renderers[np.random.default_rng([10, seed]).choice(3, p=[0.5, 0.3, 0.2])](seed, frames, size)


def larynx_clip(seed: int, frames: int = 8, size: int = 256) -> Clip:
    """Vocal folds about the glottis, with lesions, a tube, a laryngoscope's rim, tools and dressings."""
    rng = np.random.default_rng([11, seed])
    canvas = Canvas(rng, size, varied(rng, OBJECTS["retractor"]))
    if rng.random() < 0.2:
        canvas.labels[:] = canvas.add("retractor")
    pinch = _paint_larynx(rng, canvas)
    canvas.unify()
    return _film(f"larynx-{seed}", rng, canvas, pinch, frames)


def abdomen_clip(seed: int, frames: int = 8, size: int = 256) -> Clip:
    """Organs, ducts and lesions on a backdrop of tissue, with tools, threads, gauze and blood."""
    rng = np.random.default_rng([12, seed])
    names = list(TISSUES)
    backdrop = TISSUES[names[rng.integers(len(names))]]
    canvas = Canvas(rng, size, varied(rng, backdrop))
    if rng.random() < 0.1:
        canvas.labels[:] = canvas.add("tissue")
    for _ in range(int(rng.integers(1, 6))):
        near = rng.random() < 0.4  # nearly the look of the backdrop
        name = names[rng.integers(len(names))]
        material = nearby(rng, backdrop) if near else varied(rng, TISSUES[name])
        kind = "lesion" if near else name
        canvas.paint(_region(rng, canvas), material, canvas.add(kind) if rng.random() < 0.85 else 0)
    if rng.random() < 0.4:
        _paint_duct(rng, canvas)
    canvas.unify()
    return _film(f"abdomen-{seed}", rng, canvas, None, frames)


def generic_clip(seed: int, frames: int = 8, size: int = 256) -> Clip:
    """Any shapes of any surface on any ground, some fixed to it and some that wander over one another."""
    rng = np.random.default_rng([13, seed])
    ground = any_material(rng) if rng.random() < 0.7 else varied(rng, TISSUES["mucosa"])
    canvas = Canvas(rng, size, ground)
    for _ in range(int(rng.integers(1, 5))):
        surface = nearby(rng, ground) if rng.random() < 0.5 else any_material(rng)
        canvas.paint(_region(rng, canvas), surface, canvas.add("thing") if rng.random() < 0.85 else 0)
    canvas.unify()
    return _film(f"generic-{seed}", rng, canvas, None, frames)


def _film(name: str, rng: np.random.Generator, canvas: Canvas, pinch: Float | None, frames: int) -> Clip:
    """Move the camera and everything that lies over the anatomy, and record each frame."""
    size = canvas.size
    moments = times(rng, frames)
    camera, optics = Camera(rng, canvas, pinch), Optics(rng, size)
    things = _things(rng, canvas, float(moments[-1] - moments[0]), generic=name.startswith("generic"))
    pool = Pool(rng, canvas, canvas.add("blood")) if rng.random() < 0.12 else None
    shutter = rng.choice([0.0, 0.5, 2.0])
    images = np.empty((frames, size, size, 3), np.uint8)
    labels = np.empty((frames, size, size), np.uint8)
    for index, time in enumerate(moments.tolist()):
        where = camera.look(time)
        picture: Picture = camera.shoot(where, time)
        if pool is not None:
            pool.draw(picture, seen(pool.front, where), time - float(moments[0]))
        for thing in things:
            thing.draw(picture, time)
        speed = camera.speed(time)
        images[index] = optics.apply(picture.image, time, (speed[0] * shutter, speed[1] * shutter))
        if optics.lens is not None:
            picture.labels[optics.lens] = 0
        labels[index] = picture.labels
    return clip_of(name, images, labels, canvas.classes)


def _things(rng: np.random.Generator, canvas: Canvas, duration: float, generic: bool) -> Things:
    """What lies over the anatomy, from below to above: drifting things, dressings, threads and instruments."""
    size = canvas.size
    things: Things = []
    for _ in range(int(rng.integers(0, 5)) if generic else int(rng.random() < 0.25)):
        radius = size * rng.uniform(0.04, 0.25)
        side = int(radius * 4.5)
        mask = any_shape(rng, side, np.full(2, side / 2), radius)
        name = "thing" if generic else ("gauze", "gauze", "plastic", "clot", "drape")[rng.integers(5)]
        material = any_material(rng) if generic else varied(rng, OBJECTS[name])
        object_id = canvas.add(name) if rng.random() < 0.9 else 0
        things.append(Drifter(rng, object_id, sprite_of(rng, mask, material), size))
    if rng.random() < 0.08:
        things.append(Drifter(rng, canvas.add("thread"), thread(rng, size), size))
    kinds = list(TOOLS)
    count = int(rng.choice([0, 1, 2, 3], p=[0.25, 0.4, 0.25, 0.1]))
    kind = kinds[rng.integers(len(kinds))]
    for _ in range(count):
        things.append(Instrument(rng, size, canvas.add(kind), tool_parts(rng, size, kind), duration))
        if rng.random() < 0.6:  # otherwise the next one is a look-alike of the same kind
            kind = kinds[rng.integers(len(kinds))]
    return things


def _region(rng: np.random.Generator, canvas: Canvas) -> NDArray[np.uint8]:
    """The mask of a part of the canvas: a shape, or where a noise is high (any topology)."""
    side = canvas.side
    if rng.random() < 0.2:
        field = fractal_noise(rng, side, rng.uniform(1.5, 4), 3)
        return np.asarray(np.clip((field - rng.uniform(-0.2, 1.2)) * 400 + 127, 0, 255), np.uint8)
    radius = canvas.size * float(np.exp(rng.uniform(np.log(0.03), np.log(0.4))))
    return any_shape(rng, side, rng.uniform(0.2, 0.8, 2) * side, radius)


def _paint_duct(rng: np.random.Generator, canvas: Canvas) -> None:
    """A duct or large vessel across the canvas."""
    side, centre = canvas.side, canvas.side / 2
    reach = rotated(np.array([side * rng.uniform(0.3, 0.7), 0.0]), rng.uniform(0, 2 * np.pi))
    path = curve(rng, centre - reach, centre + reach, 0.15)
    width = canvas.size * rng.uniform(0.02, 0.09) * rng.uniform(0.7, 1.3, 2)
    outline = band(path, np.linspace(width[0], width[1], len(path)))
    name = ("gallbladder", "fascia", "bowel", "inflamed")[rng.integers(4)]
    canvas.paint(canvas.mask(outline), varied(rng, TISSUES[name]), canvas.add("duct"))


def _paint_larynx(rng: np.random.Generator, canvas: Canvas) -> Float:
    """Paint a larynx; returns the displacement (side, side, 2), pixels, that opens and closes the glottis.

    In the larynx' own frame the commissure, where the folds meet, is the origin; the glottis opens downwards.
    """
    size, side = canvas.size, canvas.side
    tilt = rng.normal(0, 0.35) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
    scale = size * rng.uniform(0.75, 1.5)
    apex = np.array([side / 2, side * rng.uniform(0.22, 0.42)]) + rng.normal(0, 0.09 * size, 2)
    down = np.linspace(-0.02, 1.6, 30)
    lean = curve(rng, np.array([0.0, -0.02]), np.array([rng.normal(0, 0.15), 1.6]), 0.04, 30)[:, 0]
    gap = rng.uniform(0.02, 0.32) * np.clip(down, 0, None) ** rng.uniform(0.6, 1.2)

    def edge(offset: NDArray[np.float64]) -> NDArray[np.float64]:
        rough = np.cumsum(rng.normal(0, 0.004, 30))
        return rotated(np.stack([lean + offset + rough, down], 1) * scale, tilt) + apex

    tissue = varied(rng, TISSUES["mucosa" if rng.random() < 0.7 else "pale mucosa"])
    arch = blob(rng, apex + rotated(np.array([0, scale * 0.75]), tilt), scale * rng.uniform(0.8, 1.25), 0.08)
    tissue_id = canvas.add("tissue") if rng.random() < 0.7 else 0
    canvas.paint(canvas.mask(arch), tissue, tissue_id)
    left, right = edge(-gap), edge(gap)
    fold = varied(rng, TISSUES["fold"]) if rng.random() < 0.75 else nearby(rng, replace(tissue, stretch=6))
    paired = canvas.add("vocal folds") if rng.random() < 0.6 else None
    angle = -np.degrees(tilt) + rng.normal(0, 6)
    if rng.random() < 0.85:
        for inner, sign in ((left, -1), (right, 1)):
            width = rng.uniform(0.03, 0.3) * np.clip(down * rng.uniform(1, 4), 0.1, rng.uniform(0.5, 1.2))
            outer = edge(sign * (gap + width))
            mask = canvas.mask(np.concatenate([inner, outer[::-1]]))
            fold_id = paired or canvas.add("vocal fold")
            canvas.paint(mask, varied(rng, fold, 0.25), fold_id, angle)
    glottis = canvas.mask(np.concatenate([left, right[::-1]]))
    canvas.paint(glottis, varied(rng, OBJECTS["cavity"], 0.6), canvas.add("glottis") if rng.random() < 0.9 else 0)
    if rng.random() < 0.6:
        _paint_tube(rng, canvas, glottis, apex, tilt, scale)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.45, 0.4, 0.15]))):
        _paint_lesion(rng, canvas, apex, tilt, scale, tissue)
    return _pinch(canvas, apex, tilt, scale * rng.uniform(0, 0.05))


def _paint_tube(
    rng: np.random.Generator, canvas: Canvas, glottis: NDArray[np.uint8], apex: Points, tilt: float, scale: float
) -> None:
    """A ribbed or smooth breathing tube that leaves the glottis downwards."""
    top = np.array([rng.normal(0, 0.04), rng.uniform(0.1, 0.6)])
    path = rotated(curve(rng, top, np.array([rng.normal(0, 0.2), 1.7]), 0.03) * scale, tilt) + apex
    width = scale * rng.uniform(0.1, 0.35)
    mask = canvas.mask(band(path, width * np.linspace(rng.uniform(0.5, 1), 1.1, len(path))))
    if rng.random() < 0.7:
        mask = np.minimum(mask, glottis)
    before = canvas.surface.copy()
    grey = rng.uniform(40, 150)
    surface = replace(OBJECTS["plastic"], dark=(grey * 0.7,) * 3, light=(grey, grey, grey * rng.uniform(0.9, 1.2)))
    canvas.paint(mask, surface, canvas.add("tube"))
    if rng.random() < 0.8:  # the spiral wire in its wall
        rows, columns = np.mgrid[0 : canvas.side, 0 : canvas.side].astype(np.float32)
        along = columns * np.float32(-np.sin(tilt)) + rows * np.float32(np.cos(tilt))
        ribs = np.sin(along * np.float32(2 * np.pi / (scale * rng.uniform(0.025, 0.06))))
        changed = (mask.astype(np.float32) / 255) * ribs * np.float32(rng.uniform(10, 32))
        canvas.surface[..., :3] += changed[..., None]
    shade = np.float32(rng.uniform(0, 0.5))  # it lies in the depth, partly in the dark
    weight = shade * (mask.astype(np.float32) / 255)[..., None]
    canvas.surface += (before - canvas.surface) * weight


def _paint_lesion(
    rng: np.random.Generator, canvas: Canvas, apex: Points, tilt: float, scale: float, tissue: Material
) -> None:
    """A polyp, nodule or plaque on or beside a fold, often nearly of the colour around it."""
    at = rotated(np.array([rng.normal(0, 0.28), rng.uniform(0.05, 0.9)]) * scale, tilt) + apex
    name = ("inflamed", "granular", "pale mucosa", "fascia", "fold")[rng.integers(5)]
    material = nearby(rng, tissue) if rng.random() < 0.4 else varied(rng, TISSUES[name], 0.8)
    outline = blob(rng, at, scale * rng.uniform(0.03, 0.16), 0.25, rng.uniform(1, 2.2))
    canvas.paint(canvas.mask(outline), material, canvas.add("lesion"))


def _pinch(canvas: Canvas, apex: Points, tilt: float, strength: float) -> Float:
    """Displacement towards and away from the glottis' midline, strongest near it and none at the commissure."""
    rows, columns = np.mgrid[0 : canvas.side, 0 : canvas.side].astype(np.float32)
    x, y = columns - np.float32(apex[0]), rows - np.float32(apex[1])
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    aside, down = cos * x + sin * y, -sin * x + cos * y
    reach = np.float32(0.3 * canvas.size)
    pull = np.float32(strength) * np.clip(down / reach, 0, 1.5) * np.tanh(aside / (reach * np.float32(0.3)))
    pull *= np.exp(-np.abs(aside) / reach)
    return np.stack([pull * cos, pull * sin], 2).astype(np.float32)
