"""Scenes of visits: who is there when, who looks like whom, and that names are those of instruments."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.datasets.absence_scenes import SEEN, TARGET
from trocar.datasets.instruments import TOOLS
from trocar.datasets.visit_scenes import SHAFTS, visits_clip, visits_scene
from trocar.train.semantic import Semantic, class_targets


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gap", [1, 9])
def test_the_target_has_three_stays_with_gaps_between_them(seed: int, gap: int) -> None:
    scene = visits_scene(seed, gap, size=96)
    shown = [bool((scene.truth(frame) == TARGET).any()) for frame in range(len(scene))]
    assert shown == ([True] * SEEN + [False] * gap) * 2 + [True] * SEEN
    assert list(scene.returned) == [frame for frame in range(SEEN, len(scene)) if shown[frame]]
    assert scene.look_alikes


def test_look_alikes_are_there_while_the_target_is_away() -> None:
    for seed in range(4):
        scene = visits_scene(seed, 12, size=96)
        away = range(SEEN, SEEN + 12)
        assert any(np.isin(scene.truth(frame), (TARGET + 1, TARGET + 2)).any() for frame in away)


def test_the_target_returns_elsewhere() -> None:
    for seed in range(4):
        scene = visits_scene(seed, 4, size=96)
        first, second = (np.argwhere(scene.truth(frame) == TARGET) for frame in (SEEN // 2, SEEN + 4 + SEEN // 2))
        here, there = ({tuple(place) for place in places.tolist()} for places in (first, second))
        assert len(here & there) < 0.5 * len(here)


def test_things_of_training_clips_leave_and_return_and_some_look_alike() -> None:
    returned = twins = 0
    for seed in range(12):
        clip = visits_clip(seed, frames=24, size=64)
        names = list(clip.classes.values())
        twins += len(set(names)) < len(names)
        for number in clip.classes:
            present = np.flatnonzero((clip.labels == number).any((1, 2)))
            returned += int((np.diff(present) > 3).any())
    assert returned >= 6
    assert 2 <= twins <= 10


def test_every_instrument_has_a_class_that_is_learned() -> None:
    assert set(SHAFTS) == set(TOOLS)
    assert -1 not in class_targets(list(SHAFTS), Semantic().classes)
    assert class_targets(["thing"], Semantic().classes) == [-1]


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, same, other = (visits_clip(seed, frames=3, size=64) for seed in (5, 5, 6))
    assert one.name == "visits-5"
    assert np.array_equal(one.images, same.images)
    assert np.array_equal(one.labels, same.labels)
    assert not np.array_equal(one.images, other.images)
    scene = visits_scene(5, 3, size=64)
    again = scene[20].image.copy()
    assert np.array_equal(visits_scene(5, 3, size=64)[20].image, again), "whatever frame was painted before"
