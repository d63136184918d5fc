"""Which scenes a recipe renders: their kind, and labels that lie off where it asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trocar.datasets.annotation_noise import signed_distance
from trocar.datasets.visit_scenes import visits_clip
from trocar.train.render import TRAIN_SEEDS, SceneShape, read_scene, render_scenes, scene_file


def test_a_kind_is_rendered_with_its_class_names(tmp_path: Path) -> None:
    shape = SceneShape(9, 64, "visits")
    render_scenes(shape.folder(tmp_path), 1, 1, shape)
    made, drawn = read_scene(scene_file(tmp_path / "scenes-visits-9x64", TRAIN_SEEDS)), visits_clip(TRAIN_SEEDS, 9, 64)
    assert made.classes == drawn.classes
    assert np.array_equal(made.images, drawn.images)
    assert np.array_equal(made.labels, drawn.labels)


def test_jitter_changes_labels_near_boundaries_and_no_image(tmp_path: Path) -> None:
    exact, off = SceneShape(3, 64, "visits"), SceneShape(3, 64, "visits", 2.0)
    assert off.folder(tmp_path).name == "scenes-visits-3x64-jitter2"
    clips = []
    for shape in (exact, off, off):
        render_scenes(shape.folder(tmp_path), 2, 1, shape)
        clips.append(read_scene(scene_file(shape.folder(tmp_path), TRAIN_SEEDS + 1)))
        scene_file(off.folder(tmp_path), TRAIN_SEEDS + 1).unlink(missing_ok=True)
    right, wrong, again = clips
    assert np.array_equal(right.images, wrong.images)
    assert np.array_equal(wrong.labels, again.labels)
    moved = right.labels != wrong.labels
    assert moved.any()
    for label, where in zip(right.labels, moved, strict=True):
        near = np.min([np.abs(signed_distance(label == number)) for number in range(1, label.max() + 1)], axis=0)
        assert not where.any() or near[where].max() < 2


def test_what_cannot_be_rendered_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean visits"):
        SceneShape(kind="visit")
    with pytest.raises(ValueError, match="jitter_px is 0"):
        SceneShape(jitter_px=-1.0)
