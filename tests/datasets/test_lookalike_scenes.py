"""Look-alike scenes: exact, repeatable, and only the tip and its marks tell the class."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.datasets.clip import Clip
from trocar.datasets.lookalike_scenes import LOOKALIKES, class_map, lookalike_parts, lookalike_scene


def test_the_same_seed_gives_the_same_bytes_and_another_another() -> None:
    first, again, other = (lookalike_scene(seed, 2, 96) for seed in (4, 4, 6))
    assert first.name == "lookalike-4"
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.labels, again.labels)
    assert first.classes == again.classes
    assert not np.array_equal(first.images, other.images)


def test_every_class_appears_most_are_absent_and_some_have_two_instruments() -> None:
    clips = [lookalike_scene(seed, 2, 64) for seed in range(80)]
    names = [list(clip.classes.values()) for clip in clips]
    assert {name for found in names for name in found} == set(LOOKALIKES)
    assert len(LOOKALIKES) == 7
    assert any(not found for found in names), "some clips show no instrument"
    assert any(len(set(found)) < len(found) for found in names), "some show two of one class"
    assert max(len(set(found)) for found in names) <= 3, "most classes are absent from every clip"
    for clip in clips:
        assert set(np.unique(clip.labels)) - {0} == set(clip.classes)


def test_shafts_are_alike_but_for_their_marks() -> None:
    """With the same draws every class has the same shaft, and what it bears only makes it brighter."""
    made = {name: lookalike_parts(np.random.default_rng(3), 256, name) for name in LOOKALIKES}
    plain = made["suction instrument"]
    for name, parts in made.items():
        assert parts.width == plain.width
        assert np.array_equal(parts.shaft[..., 3], plain.shaft[..., 3])
        brighter = parts.shaft[..., :3].astype(int) - plain.shaft[..., :3]
        assert brighter.min() >= 0
        assert (brighter.max() > 40) == (name != "suction instrument")
    assert len({parts.jaws[0].tobytes() for parts in made.values()}) == len(LOOKALIKES), "no two classes share a tip"
    edge = made["prograsp forceps"].shaft[2:6, :, :3]
    assert np.array_equal(edge, plain.shaft[2:6, :, :3]), "its marks lie along the middle"


def test_class_maps_number_classes_from_one_and_join_instruments_of_one_class() -> None:
    labels = np.array([[[0, 1], [2, 3]]], np.uint8)
    names = {1: LOOKALIKES[2], 2: "liver", 3: LOOKALIKES[2]}
    clip = Clip("made", np.zeros((1, 2, 2, 3), np.uint8), labels, names)
    assert class_map(clip).tolist() == [[[0, 3], [0, 3]]]


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"frames": 0}, {"size": 16}])
def test_what_cannot_be_rendered_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="lookalike_scene"):
        lookalike_scene(**{"seed": 0, **wrong})
