"""Volumes in several planes: what must not depend on how the file lies, where numbers are kept, or interruptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.formats.volume import ArrayVoxels, Grid, VolumeSource
from trocar.load import load_memory
from trocar.masks.cleanup import VolumeCleanup
from trocar.memory import POLICIES
from trocar.model import Network, tiny_random
from trocar.prompts import Box, Box3d, MaskPrompt, Point, tight_box
from trocar.track.entries import StepSettings
from trocar.track.initial import initial_masks
from trocar.track.planes import all_planes, plane_map
from trocar.track.session import Session
from trocar.track.volume import VolumeOptions, VolumeRun

SLICES, ROWS, COLUMNS = 9, 14, 18
SIX = {"others": all_planes("axial")}


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(replace(tiny_random(), dense_prompts=True, mask_prior=True))


def stack(seed: int = 0) -> NDArray[np.uint8]:
    """(slice, row, column): a bright block in noise."""
    values = np.random.default_rng(seed).integers(1, 120, (SLICES, ROWS, COLUMNS), dtype=np.uint8)
    values[2:7, 4:10, 5:13] += 120
    return values


def opened(values: NDArray[np.uint8], plane: str = "axial", order: str = "SPL") -> VolumeSource:
    """A volume whose file has the axes of `values`, which point to `order`."""
    import nibabel as nib

    codes = nib.orientations.axcodes2ornt(tuple(order))
    sizes = {0: 1.5, 1: 0.7, 2: 4.0}
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(codes):
        affine[int(world), axis] = sign * sizes[int(world)]
        affine[int(world), 3] += 0 if sign > 0 else sizes[int(world)] * (values.shape[axis] - 1)
    return VolumeSource("volume", ArrayVoxels(values), Grid(affine), plane, "none")


def found(run: VolumeRun, object_id: int = 1) -> NDArray[np.bool_]:
    run.track()
    return np.stack([masks.masks[object_id] for masks in run.masks()])


def alone(network: Network, memory: str, direction: str, frame: int) -> dict[int, NDArray[np.bool_]]:
    session = Session(network, opened(stack()), load_memory(memory))
    session.add(Box(4, 3, 13, 11), frame=frame)
    masks = {one.frame: one.masks[1] for one in session.propagate(direction)}  # type: ignore[arg-type]
    session.close()
    return masks


def run_of(network: Network, memory: str = "recent", source: VolumeSource | None = None, **options: Any) -> VolumeRun:
    return VolumeRun(network, source or opened(stack()), load_memory(memory), VolumeOptions(**options))


@pytest.mark.parametrize("memory", ["recent", "self_sorting", "tree"])
def test_one_plane_is_what_a_session_finds(network: Network, memory: str) -> None:
    run = run_of(network, memory)
    run.add(Box(4, 3, 13, 11), frame=4)
    masks = found(run)
    expected = alone(network, memory, "both", 4)
    assert masks.any()
    assert all(np.array_equal(masks[frame], mask) for frame, mask in expected.items())
    assert sorted(expected) == list(range(SLICES))


@pytest.mark.parametrize("memory", ["recent", "self_sorting", "motion"])
def test_joint_with_one_direction_is_that_direction_alone(network: Network, memory: str) -> None:
    run = run_of(network, memory, directions="joint")
    run.add(Box(4, 3, 13, 11), frame=0)
    masks = found(run)
    assert masks.any()
    assert all(np.array_equal(masks[at], mask) for at, mask in alone(network, memory, "forward", 0).items())


def test_joint_windows_do_not_reach_into_another_direction(network: Network) -> None:
    """SAM 2's window has nothing recent to read when a direction begins, so that its result is that of a fresh one.

    Pointers of prompts are coded by distance, which differs, so they are left out.
    """
    memory = "self_sorting:bank=0,window=6"
    run = run_of(network, memory, directions="joint")
    run.add(Box(4, 3, 13, 11), frame=4)
    masks = found(run)
    assert all(np.array_equal(masks[at], mask) for at, mask in alone(network, memory, "both", 4).items())


@pytest.mark.parametrize("memory", sorted(POLICIES))
@pytest.mark.parametrize("directions", ["independent", "joint"])
def test_every_policy_goes_through_six_directions(network: Network, memory: str, directions: str) -> None:
    run = run_of(network, memory, directions=directions, **SIX)
    run.add(Box(4, 3, 13, 11), frame=4)
    run.add(Point(2, 2), frame=6, object_id=5)
    visits: list[tuple[int, int]] = []
    run.track(lambda what, done, total: visits.append((done, total)))
    masks = list(run.masks())
    assert [one.frame for one in masks] == list(range(SLICES))
    assert all(set(one.masks) == {1, 5} and one.masks[1].shape == (ROWS, COLUMNS) for one in masks)
    assert visits[-1][0] == visits[-1][1] >= SLICES


def test_joint_differs_from_independent_where_the_bank_is_shared(network: Network) -> None:
    said = []
    for directions in ("independent", "joint"):
        run = run_of(network, "self_sorting", directions=directions, **SIX)
        run.add(Box(4, 3, 13, 11), frame=4)
        run.track()
        said.append(run._store.array("sagittal-1", (COLUMNS, SLICES, ROWS)))
    assert said[0].any()
    assert not np.array_equal(*said)


@pytest.mark.parametrize("aggregate", ["mean", "majority"])
def test_a_mask_given_stays_and_a_volume_is_the_same_however_its_file_lies(network: Network, aggregate: str) -> None:
    given = np.zeros((ROWS, COLUMNS), np.bool_)
    given[4:10, 5:13] = True
    voxels = {}
    for order in ("SPL", "LPS", "RAS", "AIR"):
        change = _reorder("SPL", order)
        source = opened(np.ascontiguousarray(change(stack())), order=order)
        run = run_of(network, source=source, aggregate=aggregate, **SIX)
        run.add(MaskPrompt(given), frame=4)
        masks = found(run)
        assert np.array_equal(masks[4], given)
        voxels[order] = source.to_voxels(masks)
        assert np.array_equal(voxels[order], change(voxels["SPL"]))


def _reorder(old: str, new: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    import nibabel as nib

    o = nib.orientations
    change = o.ornt_transform(o.axcodes2ornt(tuple(old)), o.axcodes2ornt(tuple(new)))
    return lambda volume: o.apply_orientation(volume, change)  # type: ignore[no-any-return]


@pytest.mark.parametrize("directions", ["independent", "joint"])
def test_on_disk_equals_in_memory(network: Network, tmp_path: Path, directions: str) -> None:
    masks = []
    for folder in (None, tmp_path):
        run = run_of(network, "self_sorting", directions=directions, folder=folder, **SIX)
        run.add(Box(4, 3, 13, 11), frame=4)
        masks.append(found(run))
    assert np.array_equal(*masks)
    assert run.disk_bytes > 3 * SLICES * ROWS * COLUMNS * 2


@pytest.mark.parametrize(
    ("directions", "memory"), [("independent", "recent"), ("joint", "self_sorting"), ("joint", "tree")]
)
def test_a_run_interrupted_anywhere_ends_the_same(
    network: Network, tmp_path: Path, directions: str, memory: str
) -> None:
    def made(folder: Path) -> VolumeRun:
        run = run_of(network, memory, directions=directions, folder=folder, **SIX)
        run.add(Box(4, 3, 13, 11), frame=4)
        run.add(Box(1, 1, 5, 6), frame=2, object_id=2)
        return run

    whole = made(tmp_path / "whole")
    whole.track()
    expected = list(whole.masks())
    for stop in (11, 25):  # in the second direction and in the fourth

        def interrupt(what: str, done: int, total: int, stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt):
            made(folder).track(interrupt)
        again = made(folder)
        again.track(resume=True)
        for one, other in zip(again.masks(), expected, strict=True):
            assert one.scores == other.scores
            assert all(np.array_equal(one.masks[name], other.masks[name]) for name in (1, 2))


def test_a_box_in_three_dimensions_prompts_every_plane(network: Network) -> None:
    box = Box3d(5, 4, 2, 13, 10, 6)  # the bright block: columns 5-12, rows 4-9, slices 2-6
    run = run_of(network, **SIX)
    run.add_box(box)
    said = {plane.name: list(run._said(plane)) for plane in run._planes}
    assert said["axial"][0].prompt == Box(5, 4, 13, 10)
    assert said["axial"][0].frame == 4
    bright = stack() > 120
    bright[[0, 1, 7, 8]] = False
    for name, placed in said.items():
        view = plane_map("axial", name).apply(np.pad(np.ones((5, 6, 8), bool), ((2, 2), (4, 4), (5, 5))))
        mask = view[placed[0].frame]
        tight = tight_box(mask)
        assert placed[0].prompt == Box(tight.x0, tight.y0, tight.x1 + 1, tight.y1 + 1)
    assert found(run).shape == (SLICES, ROWS, COLUMNS)
    with pytest.raises(ValueError, match="frames 0 to 8"):
        run.add_box(Box3d(5, 4, 2, 13, 10, 9))


@pytest.mark.parametrize("carry", ["mask", "box"])
def test_true_proportion_brings_masks_back_to_the_grid(network: Network, carry: str) -> None:
    run = run_of(network, true_aspect=True, carry=carry, **SIX)
    sizes = {plane.name: plane.shown.geometry.size for plane in run._planes}
    # mm: rows 0.7, columns 1.5, slices 4.0; so 9.8 x 27, 36 x 27 and 36 x 9.8
    assert sizes == {"axial": (39, 18), "coronal": (9, 24), "sagittal": (9, 51)}
    run.add(Box(4, 3, 13, 11), frame=4)
    assert found(run).shape == (SLICES, ROWS, COLUMNS)


def test_objects_do_not_overlap_where_that_is_asked(network: Network) -> None:
    settings = StepSettings(non_overlap=True)
    run = run_of(network, step=settings, cleanup=VolumeCleanup(fill_holes=True, smooth=2.0), **SIX)
    run.add(Box(4, 3, 13, 11), frame=4)
    run.add(Box(6, 2, 15, 9), frame=3, object_id=2)
    run.track()
    assert all(not (one.masks[1] & one.masks[2]).any() for one in run.masks())


def test_the_first_mask_from_another_network(network: Network) -> None:
    torch.manual_seed(3)
    other = Network(tiny_random())
    source = opened(stack())
    session = Session(other, source)
    answer = session.add(Box(4, 3, 13, 11), frame=4).masks[1]
    session.close()
    from trocar.prompts import PlacedPrompt

    said = initial_masks(other, source, [PlacedPrompt(Box(4, 3, 13, 11), 4)])
    assert len(said) == 1
    assert isinstance(said[0].prompt, MaskPrompt)
    assert np.array_equal(said[0].prompt.mask, answer)


def test_choices_that_there_are_not(network: Network) -> None:
    with pytest.raises(ValueError, match="mean, majority"):
        VolumeOptions(aggregate="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="once each"):
        VolumeOptions(others=("axial",))
    with pytest.raises(ValueError, match="no plane is called"):
        plane_map("axial", "oblique")
    with pytest.raises(ValueError, match="add a prompt"):
        run_of(network).track()
