"""Jittered annotations are wrong where they should be, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.datasets.annotation_noise import jittered, signed_distance


def square(frames: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    labels = np.zeros((frames, 64, 64), np.uint8)
    labels[:, 20:44, 16:48] = 3
    return labels


def test_distances_run_from_the_border_between_pixels() -> None:
    mask = np.zeros((1, 7), bool)
    mask[0, 2:5] = True
    assert signed_distance(mask).tolist() == [[-1.5, -0.5, 0.5, 1.5, 0.5, -0.5, -1.5]]


def test_a_mask_without_a_border_is_far_from_one() -> None:
    assert (signed_distance(np.ones((4, 5), bool)) > 4).all()
    assert (signed_distance(np.zeros((4, 5), bool)) < -4).all()


@pytest.mark.parametrize("reach", [2.0, 3.0])
def test_no_boundary_moves_further_than_asked(reach: float) -> None:
    labels = square(40)
    changed = jittered(labels, np.random.default_rng(0), reach) != labels
    distance = np.abs(signed_distance(labels[0] > 0))
    assert changed.any(0).sum() > 50
    assert distance[changed.any(0)].max() < reach
    assert (distance[changed.any(0)] > reach / 2).any(), "some move by more than half of it"


def test_boundaries_move_either_way_and_differ_from_frame_to_frame() -> None:
    labels = square(200)
    noisy = jittered(labels, np.random.default_rng(1), 3.0)
    areas = (noisy > 0).sum((1, 2)) / (labels > 0).sum((1, 2))
    assert areas.min() < 0.9
    assert areas.max() > 1.1
    assert areas.mean() == pytest.approx(1, abs=0.02)
    assert len(np.unique(areas)) > 100
    one = noisy[0] > 0
    outwards = (one & (labels[0] == 0)).any(), (~one & (labels[0] > 0)).any()
    mixed = [bool((frame & (labels[0] == 0)).any() and (~frame & (labels[0] > 0)).any()) for frame in noisy > 0]
    assert any(outwards)
    assert sum(mixed) > 50, "elastic: out here and in there"


def test_every_object_is_moved_for_itself_and_keeps_its_id() -> None:
    labels = square(30)
    labels[:, 4:14, 4:14] = 1
    noisy = jittered(labels, np.random.default_rng(2), 2.0)
    assert set(np.unique(noisy)) == {0, 1, 3}
    small, large = ((noisy == number).sum((1, 2)).astype(float) for number in (1, 3))
    assert abs(np.corrcoef(small, large)[0, 1]) < 0.5


def test_without_a_reach_the_labels_stay_as_they_are() -> None:
    labels = square()
    assert jittered(labels, np.random.default_rng(0), 0.0) is labels
