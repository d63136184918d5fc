"""Index maps between planes, and the numbers that planes leave for each voxel."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trocar.formats.volume import PLANES, ArrayVoxels, Grid, VolumeSource
from trocar.frames import ArraySource
from trocar.geometry import Geometry
from trocar.track.evidence import VoxelStore, evidence_of, together
from trocar.track.planes import PlaneView, TrueAspect, plane_map, read_pictures

PAIRS = list(product(PLANES, PLANES))


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_maps_are_exact_inverses(old: str, new: str) -> None:
    volume = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    change = plane_map(old, new)
    assert np.array_equal(change.inverse.apply(change.apply(volume)), volume)
    assert change.inverse == plane_map(new, old)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_views_are_what_the_file_shows_in_that_plane(old: str, new: str) -> None:
    """VolumeSource reaches a plane from the file's own order, by nibabel; a view reaches it from another plane."""
    values = np.random.default_rng(0).integers(0, 255, (4, 5, 6), dtype=np.uint8)
    affine = np.array([[0, 0.7, 0.1, 3], [-2.5, 0, 0, 7], [0.1, 0, 1.2, -4], [0, 0, 0, 1]])
    sources = {plane: VolumeSource("v", ArrayVoxels(values), Grid(affine), plane, "none") for plane in PLANES}
    view = PlaneView(read_pictures(sources[old]), sources[old], plane_map(old, new), new)
    wanted = sources[new]
    assert len(view) == len(wanted)
    assert view.geometry.size == wanted.geometry.size
    assert view.geometry.spacing_mm == pytest.approx(wanted.geometry.spacing_mm)
    assert view.geometry.affine == pytest.approx(wanted.geometry.affine)
    for index in range(len(wanted)):
        assert np.array_equal(view[index].image, wanted[index].image)
    with pytest.raises(IndexError, match="outside"):
        view[len(view)]


def test_colours_stay() -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3), dtype=np.uint8)
    images[0] = images[0, ..., :1]  # the first slice is grey
    source = ArraySource(images)
    view = PlaneView(read_pictures(source), source, plane_map("axial", "axial"), "axial")
    assert all(np.array_equal(view[at].image, images[at]) for at in range(3))


def test_true_aspect_is_square_in_mm_and_keeps_pixels() -> None:
    images = np.random.default_rng(0).integers(1, 255, (2, 10, 40), dtype=np.uint8)
    source = ArraySource(images, geometry=Geometry((10, 40), (1.0, 5.0, 1.5)))  # 50 x 60 mm
    shown = TrueAspect(source)
    assert shown.geometry.size == (12, 40)
    assert np.array_equal(shown[1].image[:10], source[1].image)
    assert not shown[1].image[10:].any()
    with pytest.raises(ValueError, match="spacing"):
        TrueAspect(ArraySource(images))


def test_evidence_keeps_the_sign_of_small_logits() -> None:
    logits = torch.tensor([-1024.0, -1e-5, 0.0, 1e-5, 2.0, 1024.0])
    assert evidence_of(logits).tolist() == pytest.approx([-0.5, -2.5e-6, 0, 2.5e-6, 0.38080, 0.5], abs=3e-4)
    assert np.array_equal(np.sign(evidence_of(logits)), [-1, -1, 0, 1, 1, 1])


@given(arrays.arrays(np.float16, (3, 4), elements=st.floats(-0.5, 0.5, width=16)), st.integers(1, 6))
def test_identical_directions_change_nothing(one: np.ndarray, copies: int) -> None:
    for aggregate in ("mean", "majority"):
        assert np.array_equal(together([one] * copies, aggregate) > 0, one > 0)


def test_mean_and_majority_by_hand() -> None:
    said = [np.array([value], np.float16) for value in (0.45, -0.1, -0.1)]  # probabilities 0.95, 0.4, 0.4
    assert together(said, "mean")[0] > 0  # 0.583 on average
    assert together(said, "majority")[0] < 0  # one vote of three
    assert together(said[:2], "majority")[0] == 0  # a tie is not the object


def test_files_hold_what_was_written_and_are_taken_up(tmp_path: Path) -> None:
    store = VoxelStore(tmp_path)
    array = store.array("axial-1", (3, 4, 5))
    array[1] = 0.25
    store.let_go()
    assert (array[1] == 0.25).all()
    assert not array[0].any()
    again = VoxelStore(tmp_path, keep=True).array("axial-1", (3, 4, 5))
    assert np.array_equal(again, array)
    assert not VoxelStore(tmp_path).array("axial-1", (3, 4, 5)).any()
