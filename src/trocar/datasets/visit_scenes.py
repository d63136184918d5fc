"""Scenes of instruments that come and go: each class looks its own way, and some have a look-alike of their class.

Seeded, with exact truth and class names. `visits_clip` is for training: everything comes and goes at its own times.
`visits_scene` is for scoring: its first instrument is away twice for as many frames as are asked for, and returns
turned, of another size, at another place and in another light, while a look-alike stands where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trocar.datasets.absence_scenes import (
    SEEN,
    Actor,
    RememberingScene,
    Stage,
    Stay,
    ToolLook,
    drifting_sprites,
    tool_look_alike,
    tool_sprite,
)
from trocar.datasets.canvas import clip_of
from trocar.datasets.clip import Clip
from trocar.datasets.instruments import Picture
from trocar.datasets.shapes import Points

#: Class -> RGB of its shaft. In an operation a class has its look; here its tip and its colour say what it is.
SHAFTS: dict[str, tuple[int, int, int]] = {
    "forceps": (205, 205, 212),
    "grasper": (38, 38, 44),
    "scissors": (70, 95, 170),
    "needle driver": (200, 170, 70),
    "hook": (115, 122, 130),
    "probe": (60, 150, 140),
    "suction tube": (236, 238, 222),
}
SPREAD = 12.0  # deviation of an instrument's colour from its class's, grey levels
LIGHTING = 60.0  # frames from one light to the other


def visits_clip(seed: int, frames: int = 24, size: int = 256) -> Clip:
    """A clip for training: two to four instruments, at times a flat thing, each of which leaves and returns."""
    stage = Stage(seed, 46, size)
    rng = stage.rng
    cast = _cast(rng, stage, int(rng.integers(2, 5)), alike=0.5)
    if rng.random() < 0.4:
        (sprite,) = drifting_sprites(rng, size, stage.backdrop, 1, size * rng.uniform(0.08, 0.14))
        cast.append(_Role(Actor(rng, size, sprite, len(cast) + 1), "thing"))
    stays = [_coming_and_going(rng, frames, size) for _ in cast]
    shown = _Performance(stage, [role.actor for role in cast], stays)
    pictures = [shown.paint(frame) for frame in range(frames)]
    images, labels = (np.stack([getattr(one, name) for one in pictures]) for name in ("image", "labels"))
    return clip_of(f"visits-{seed}", images, labels, {place: role.name for place, role in enumerate(cast, 1)})


def visits_scene(seed: int, gap: int, size: int = 256) -> RememberingScene:
    """A scene for scoring: the target (label 1) has three stays of `SEEN` frames with `gap` frames between them.

    Two look-alikes of its class (2, 3) and an instrument of another class (4) come and go; one look-alike stands where
    the target was when the target returns elsewhere.
    """
    stage = Stage(seed, 47, size)
    rng = stage.rng
    cast = _cast(rng, stage, 4, alike=1.0, same=3)
    period, length = SEEN + gap, 3 * SEEN + 2 * gap
    places = [_place(rng, size) for _ in range(3)]
    while min(np.hypot(*(a[0] - b[0])) for a, b in pairwise(places)) < 0.25 * size:
        places = [_place(rng, size) for _ in range(3)]
    target = [
        Stay(turn * period, turn * period + SEEN - 1, at, angle, scale, enters=turn > 0, leaves=turn < 2)
        for turn, (at, angle, scale) in enumerate(places)
    ]
    alike = [
        _stay(4, SEEN - 1 + gap // 2, places[1], rng),
        _stay(SEEN + gap // 2 + 1, period + SEEN - 4, places[0], rng),
        _stay(period + SEEN + gap // 2 + 1, length, places[1], rng),
    ]
    stays = [target, [alike[0], alike[2]], [alike[1]], _coming_and_going(rng, length, size)]
    shown = _Performance(stage, [role.actor for role in cast], stays)
    returned = (*range(period, period + SEEN), *range(2 * period, length))
    return RememberingScene(f"visits-{gap}-{seed}", shown.paint, length, size, returned, look_alikes=True)


@dataclass(frozen=True, eq=False)
class _Role:
    """Something that comes and goes, and what it is called."""

    actor: Actor
    name: str


@dataclass(frozen=True, eq=False)
class _Performance:
    """Actors with their stays on a stage; those that come first lie above the others."""

    stage: Stage
    actors: Sequence[Actor]
    stays: Sequence[Sequence[Stay]]

    def paint(self, frame: int) -> Picture:
        """A frame with its labels."""
        picture = self.stage.bare(frame)
        for actor, stays in reversed(list(zip(self.actors, self.stays, strict=True))):
            for stay in stays:
                if stay.first <= frame <= stay.last:
                    actor.draw(picture, stay, frame, self.stage.time(frame))
        return self.stage.recorded(picture, frame, float(0.5 - 0.5 * np.cos(np.pi * frame / LIGHTING)))


def _cast(rng: np.random.Generator, stage: Stage, count: int, alike: float, same: int = 2) -> list[_Role]:
    """Instruments; with the chance `alike` the first `same` of them are of one class, otherwise all classes differ."""
    kinds = [str(kind) for kind in rng.permutation(list(SHAFTS))[:count]]
    if rng.random() < alike:
        kinds[:same] = kinds[:1] * same
    looks: dict[str, ToolLook] = {}
    roles = []
    for place, kind in enumerate(kinds, 1):
        known = looks.get(kind)
        look = _look(rng, stage.size, kind) if known is None else tool_look_alike(rng, known)
        looks.setdefault(kind, look)
        roles.append(_Role(Actor(rng, stage.size, tool_sprite(rng, stage.size, look), place), kind))
    return roles


def _look(rng: np.random.Generator, size: int, kind: str) -> ToolLook:
    colour = np.asarray(SHAFTS[kind], np.float64) + rng.normal(0, SPREAD, 3)
    metal = np.full(3, rng.uniform(90, 200))
    return ToolLook(kind, int(size * rng.uniform(0.08, 0.13)), colour, metal, float(rng.uniform(0.2, 0.6)))


def _coming_and_going(rng: np.random.Generator, frames: int, size: int) -> list[Stay]:
    """Stays of 5 to 14 frames; between them 3 frames to half the clip."""
    stays, first = [], int(rng.integers(-10, max(1, frames // 3)))
    while first < frames:
        last = first + int(rng.integers(5, 15))
        at, angle, scale = _place(rng, size)
        stays.append(Stay(first, last, at, angle, scale))
        first = last + 1 + int(rng.integers(3, max(4, frames // 2)))
    return stays


def _place(rng: np.random.Generator, size: int) -> tuple[Points, float, float]:
    """Where an instrument's tip is, how it is turned (it reaches in from the border that is nearest), and its scale."""
    at = size * rng.uniform(0.25, 0.75, 2)
    away = at - size / 2
    return at, float(np.arctan2(-away[1], -away[0]) + rng.normal(0, 0.5)), float(rng.uniform(0.75, 1.35))


def _stay(first: int, last: int, place: tuple[Points, float, float], rng: np.random.Generator) -> Stay:
    at, angle, scale = place
    return Stay(first, last, at, angle + float(rng.normal(0, 0.3)), scale)
