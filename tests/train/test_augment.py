"""Augmentation moves image and labels alike and keeps what it must."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trocar.train.augment import (
    GeometryRange,
    apply_look,
    drifting,
    random_geometry,
    random_look,
    warp_image,
    warp_labels,
)


def disc(side: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:side, :side]
    return (((rows - 0.4 * side) ** 2 + (columns - 0.55 * side) ** 2) < (0.2 * side) ** 2).astype(np.uint8)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), source=st.sampled_from([64, 128, 512]))
def test_image_and_labels_stay_aligned(seed: int, source: int) -> None:
    rng = np.random.default_rng(seed)
    labels = disc(source)
    image = np.repeat(labels[..., None] * 255, 3, axis=2)
    matrix = random_geometry(rng, (source, source), 96, (0.55 * source, 0.4 * source), GeometryRange())
    moved_image = warp_image(image, matrix, 96)[..., 0] > 127
    moved_labels = warp_labels(labels, matrix, 96) > 0
    assert moved_image.sum() > 0
    # Only pixels on the edge may differ: one is interpolated, the other is not.
    differ = moved_image != moved_labels
    grown = np.zeros_like(differ)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            shifted = np.roll(moved_labels, (down, right), (0, 1))
            grown |= shifted != moved_labels
    assert not (differ & ~grown).any()


def test_without_change_nothing_moves() -> None:
    still = np.eye(3)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert (warp_image(image, still, 32) == image).all()
    assert (warp_labels(image[..., 0], still, 32) == image[..., 0]).all()


def test_a_drift_starts_where_it_should_and_moves_smoothly() -> None:
    rng = np.random.default_rng(1)
    start = random_geometry(rng, (100, 100), 64, None, GeometryRange())
    path = drifting(rng, start, 6, 64, 0.02)
    assert np.array_equal(path[0], start)
    middle = np.array([50, 50, 1.0])
    places = np.array([(matrix @ middle)[:2] for matrix in path])
    assert 0 < np.abs(np.diff(places, axis=0)).max() < 20


def test_a_look_keeps_shape_and_type_and_repeats_with_its_seed() -> None:
    image = np.random.default_rng(2).integers(0, 256, (40, 40, 3), np.uint8)
    for seed in range(30):
        look = random_look(np.random.default_rng(seed), 40)
        one, two = (apply_look(image, look, np.random.default_rng(seed)) for _ in range(2))
        assert one.shape == image.shape
        assert one.dtype == np.uint8
        assert (one == two).all()
