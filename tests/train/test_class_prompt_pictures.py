"""Pictures of class prompts: versions of a frame by the release's card, names as classes, places in the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trocar.datasets import own_data, vocalfolds
from trocar.datasets.lookalike_scenes import LOOKALIKES, class_map, lookalike_scene
from trocar.track.features import NetworkInput, PaddedInput
from trocar.train.changes import Change
from trocar.train.class_prompt_pictures import (
    FAMILIES,
    NO_TRUTH,
    Shot,
    changed,
    family_of,
    in_network,
    list_shots,
    version_of,
)
from trocar.train.class_prompt_recipe import ClassData, ClassPromptRecipe

Pixels = NDArray[np.uint8]


def marked() -> tuple[Pixels, Pixels]:
    """A picture of 40 x 60 whose bright square and its class 2 lie in the upper left quarter."""
    labels = np.zeros((40, 60), np.uint8)
    labels[4:14, 6:18] = 2
    return np.repeat(labels[..., None] * 100, 3, axis=2), labels


def test_even_epochs_show_frames_as_they_are_and_odd_ones_forty_versions_in_turn() -> None:
    recipe = ClassPromptRecipe()
    shown = [recipe.version_at(epoch) for epoch in range(84)]
    assert shown[::2] == [0] * 42
    assert shown[1::2] == [*range(1, 41), 1, 2]
    assert [FAMILIES.index(family_of(version, 40)) for version in (1, 10, 11, 20, 21, 30, 31, 40)] == [
        0, 0, 1, 1, 2, 2, 3, 3
    ]  # fmt: skip


def test_flips_move_picture_and_classes_alike() -> None:
    image, labels = marked()
    flipped, truth = changed(image, labels, (Change("flip_x", 1.0), Change("flip_y", 1.0)), np.random.default_rng(0))
    assert np.array_equal(truth, labels[::-1, ::-1])
    assert np.array_equal(flipped, image[::-1, ::-1])


def test_a_magnified_picture_is_cropped_anywhere_and_never_shows_what_lies_outside() -> None:
    image, labels = np.full((40, 60, 3), 50, np.uint8), np.ones((40, 60), np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(20):
        picture, truth = changed(image, labels, (Change("zoom", 1.0, 1.2, 1.2),), rng)
        assert (truth == 1).all()
        assert (picture >= 40).all()  # interpolated at the very edge
    image, labels = marked()
    sizes = [int((changed(image, labels, (Change("zoom", 1.0, 1.2, 1.2),), rng)[1] == 2).sum()) for _ in range(50)]
    assert max(sizes) == pytest.approx(1.44 * 120, rel=0.1)
    assert min(sizes) < 0.8 * max(sizes)  # at times the crop cuts the square


def test_what_a_turn_brings_in_has_no_truth() -> None:
    image, labels = marked()
    picture, truth = changed(image, labels, (Change("rotate", 1.0, 30, 30),), np.random.default_rng(0))
    assert (truth == NO_TRUTH).mean() > 0.1
    assert (picture[truth == NO_TRUTH] == 0).mean() > 0.9
    assert (truth == 2).sum() < 1.2 * 120


def test_colour_leaves_the_classes_alone() -> None:
    image, labels = marked()
    rng = np.random.default_rng(2)
    jitter = tuple(change for change in FAMILIES[3] if change.kind not in ("flip_x", "flip_y"))
    assert {change.chance for change in jitter} == {0.5}
    different = 0
    for _ in range(20):
        picture, truth = changed(image + 20, labels, jitter, rng)
        assert np.array_equal(truth, labels)
        different += not np.array_equal(picture, image + 20)
    assert 10 < different <= 20  # all three stay out in one case of eight


def test_a_quarter_of_the_third_family_is_turned_and_never_the_other_way() -> None:
    (turn,) = (change for change in FAMILIES[2] if change.kind == "rotate")
    assert (turn.chance, turn.low, turn.high) == (0.25, 0.0, 30.0)
    (scale,) = (change for change in FAMILIES[1] if change.kind == "zoom")
    assert (scale.chance, scale.low, scale.high) == (0.5, 1.0, 1.2)


def test_a_version_of_a_frame_is_always_the_same_and_others_differ() -> None:
    image, labels = marked()
    shots = [Shot("s", "case", frame, lambda: (image, labels)) for frame in range(2)]
    rotation = 25
    first = version_of(shots[0], (image, labels), rotation, 40)
    assert all(
        np.array_equal(*pair) for pair in zip(first, version_of(shots[0], (image, labels), rotation, 40), strict=True)
    )
    every = [version_of(shot, (image, labels), version, 40)[0].tobytes() for shot in shots for version in range(1, 41)]
    assert len(set(every)) > 20
    assert version_of(shots[0], (image, labels), 0, 40)[0] is image


def test_classes_lie_where_the_frame_lies_in_the_input() -> None:
    _, labels = marked()
    stretched = in_network(labels, NetworkInput(64))
    assert (stretched == 2).sum() == pytest.approx(120 * 64 * 64 / 2400, rel=0.1)
    assert not (stretched == NO_TRUTH).any()
    padded = in_network(labels, PaddedInput(60))
    assert np.array_equal(padded[:40], labels)
    assert (padded[40:] == NO_TRUTH).all()


def test_names_become_classes_and_void_stays_unknown(tmp_path: Path) -> None:
    vocalfolds.write_fixture(tmp_path / "vocalfolds")
    data = ClassData(
        ("vocalfolds/train",), rename={"surgical tool": "grasper", "other tissue": "ground"}, folder=str(tmp_path)
    )
    found = list_shots(data, data.sources, 1, 0, ("grasper", "vocal folds"))
    assert len(found.shots) == 9
    assert found.labelled == {"vocalfolds/train": frozenset({0, 1})}
    _, labels = found.shots[0].read()
    (case,) = (one for one in vocalfolds.DATASET.read(tmp_path / "vocalfolds", "train") if one.name == "patient2/seq5")
    truth = case.truth(0)
    assert truth is not None
    assert np.array_equal(labels == 1, truth.masks[5])
    assert np.array_equal(labels == 2, truth.masks[1])
    assert truth.ignore is not None
    assert np.array_equal(labels == NO_TRUTH, truth.ignore)
    assert "grasper" in list_shots(data, data.sources, 1, 0).names
    with pytest.raises(ValueError, match="none of the classes robot"):
        list_shots(data, data.sources, 1, 0, ("robot",))


def test_own_data_are_a_source_like_the_others(tmp_path: Path) -> None:
    own_data.write_fixture(tmp_path)
    data = ClassData(("own-data/val",), own_data=str(tmp_path))
    found = list_shots(data, data.sources, 1, 0)
    assert set(found.names) == {"hook", "gallbladder"}
    assert {int(one) for shot in found.shots for one in np.unique(shot.read()[1])} == {0, 1, 2}


def test_lookalike_scenes_are_rendered_when_they_are_read() -> None:
    data = ClassData(scene_frames=2)
    found = list_shots(data, ("lookalike-scenes",), 3, 5_000, LOOKALIKES)
    assert [(shot.case, shot.frame) for shot in found.shots] == [(str(5_000 + n // 2), n % 2) for n in range(6)]
    assert all(shot.rendered for shot in found.shots)
    clip = lookalike_scene(5_001, 2, 256)
    image, labels = found.shots[3].read()
    assert np.array_equal(image, clip.images[1])
    assert np.array_equal(labels, class_map(clip)[1])
    assert found.labelled["lookalike-scenes"] == frozenset(range(7))


def test_a_source_that_there_is_not_is_told_the_nearest() -> None:
    for source in ("lookalike-scene", "endovis71/train", "vocalfolds"):
        with pytest.raises(ValueError, match="no source of pictures is called"):
            list_shots(ClassData(), (source,), 1, 0)
