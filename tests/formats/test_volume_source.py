"""Volumes in general: planes, cropping, colour, statistics, and memory that stays flat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trocar.formats import Preparation, Window, open_source
from trocar.formats.mask_set import MaskSet
from trocar.formats.nifti import NiftiSource, write_nifti
from trocar.formats.volume import ArrayVoxels, Grid, VolumeSource, stack_grid, volume_masks
from trocar.masks import FrameMasks


def ramp(shape: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    return np.arange(1, np.prod(shape) + 1, dtype=np.int16).reshape(shape)


@given(
    axes=st.permutations(range(3)),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
    tilt_deg=st.floats(-25, 25),
    plane=st.sampled_from(["axial", "coronal", "sagittal"]),
    crop=st.booleans(),
    slab_axis=st.integers(0, 2),
)
def test_each_value_stays_in_its_place(
    axes: list[int], flips: tuple[int, ...], tilt_deg: float, plane: str, crop: bool, slab_axis: int
) -> None:
    """However the file's axes lie: a slice's value is at the same mm as in the file, and to_voxels undoes it all."""
    data = np.zeros((5, 6, 7), np.int16)
    data[1:4, 2:5, 1:6] = ramp((3, 3, 5))
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 2, 3])[:, np.argsort(axes)] * flips
    affine[:3, :3] = Rotation.from_euler("xyz", [tilt_deg, 5, -tilt_deg], degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = (10, -20, 30)
    voxels = ArrayVoxels(data, slab_axis=slab_axis)
    source = VolumeSource("v", voxels, Grid(affine), plane, Preparation(crop=crop))
    shown = np.stack([source.values(i) for i in range(len(source))])
    assert shown.size == (45 if crop else 210)
    assert np.array_equal(source.to_voxels(shown), data)
    for index in np.argwhere(shown > 0)[::17]:
        voxel = np.argwhere(data == shown[tuple(index)])[0]
        assert np.allclose(source.geometry.affine @ [*index, 1], affine @ [*voxel, 1])


def test_the_directions_of_each_plane_by_hand() -> None:
    """RAS: x to the right, y to the front, z to the head. Axial: from the feet, rows to the back, columns left."""
    data = ramp()

    def first_row(plane: str) -> list[int]:
        return VolumeSource("v", ArrayVoxels(data), Grid(np.eye(4)), plane).values(0)[0, :2].tolist()

    assert first_row("axial") == [data[3, 4, 0], data[2, 4, 0]]
    assert first_row("coronal") == [data[3, 4, 5], data[2, 4, 5]]
    assert first_row("sagittal") == [data[3, 4, 5], data[3, 3, 5]]


def test_stacks_without_orientation_keep_their_order() -> None:
    data = ramp()
    source = VolumeSource("v", ArrayVoxels(data), stack_grid((3, 2, 1)))
    assert all(np.array_equal(source.values(i), data[i]) for i in range(4))
    assert (source.geometry.spacing_mm, source.geometry.affine) == ((3, 2, 1), None)
    assert VolumeSource("v", ArrayVoxels(data), stack_grid()).geometry.spacing_mm is None


@pytest.mark.parametrize("bad", [np.nan, 0.0, np.inf])
def test_a_spacing_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"^v does not say where its voxels lie \(spacing .* mm\): mend its header"):
        VolumeSource("v", ArrayVoxels(ramp()), Grid(np.diag([1, bad, 1, 1.0])))


def test_axes_that_fall_together_are_refused() -> None:
    affine = np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with pytest.raises(ValueError, match="does not say where its axes point"):
        VolumeSource("v", ArrayVoxels(ramp()), Grid(affine))


def test_colour_is_shown_as_it_is() -> None:
    data = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    source = VolumeSource("v", ArrayVoxels(data), stack_grid())
    assert np.array_equal(source[2].image, data[2])
    side = VolumeSource("v", ArrayVoxels(data), stack_grid(), "coronal")
    assert np.array_equal(side[1].image, data[::-1, 1])


def test_cropped_masks_come_back_on_the_full_grid(tmp_path: Path) -> None:
    """By hand: the box of non-zero voxels is 2 x 1 x 3 from (1, 2, 3)."""
    data = np.zeros((4, 5, 7), np.int16)
    data[1:3, 2, 3:6] = 5
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "v.nii.gz")
    source = open_source(tmp_path / "v.nii.gz", window=Preparation(crop=True))
    assert isinstance(source, NiftiSource)
    assert (len(source), source.geometry.size) == (3, (1, 2))
    assert source.preparation["crop"] == {"start": [1, 2, 3], "shape": [2, 1, 3], "of": (4, 5, 7)}
    everything = np.ones(source.geometry.size, bool)
    write_nifti(
        tmp_path / "m.nii.gz", MaskSet(source, lambda: iter([FrameMasks(i, {4: everything}) for i in range(3)]), {})
    )
    assert np.array_equal(np.asarray(nib.load(tmp_path / "m.nii.gz").dataobj), np.where(data > 0, 4, 0))


def test_nothing_to_crop_to_leaves_the_volume_whole() -> None:
    source = VolumeSource("v", ArrayVoxels(np.zeros((2, 3, 4))), stack_grid(), window=Preparation(crop=True))
    assert (len(source), source.geometry.size) == (2, (3, 4))


def test_windows_of_the_whole_and_of_each_slice() -> None:
    data = np.stack([np.full((4, 4), 10), np.full((4, 4), 20)]).astype(np.int16)
    data[:, 0, 0] = 1
    whole = VolumeSource("v", ArrayVoxels(data), stack_grid(), window="minmax")
    assert whole.window == Window(1, 20)
    assert whole[0].image.max() == round(9 / 19 * 255)
    each = VolumeSource("v", ArrayVoxels(data), stack_grid(), window=Preparation("minmax", scope="frame"))
    assert each.window is None
    assert each[0].image.max() == 255


def test_labels_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="v holds fractions, not labels"):
        list(volume_masks(VolumeSource("v", ArrayVoxels(np.full((2, 2, 2), 0.5)), stack_grid())))


SLICE_BY_SLICE = """
import resource, sys
from trocar.formats import open_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = open_source(sys.argv[1], window=sys.argv[2])
for index in range(len(source)):
    source[index]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("window", ["abdomen", "percentile"])
def test_a_large_ct_is_read_slice_by_slice(tmp_path: Path, window: str) -> None:
    """512 x 512 x 600 in 16 bits are 315 MB: mapped they count once at most, and nothing of their size is added."""
    image = nib.Nifti1Image(np.zeros((1, 1, 1), np.int16), np.eye(4))
    header = image.header
    header.set_data_shape((512, 512, 600))
    with (tmp_path / "v.nii").open("wb") as file:
        header["vox_offset"] = 352
        header["magic"] = b"n+1"
        file.write(header.binaryblock + bytes(4))
        rows = np.arange(512 * 512, dtype=np.int16)
        for number in range(600):
            file.write((rows % 997 + number - 300).astype(np.int16).tobytes())
    done = subprocess.run(
        [sys.executable, "-c", SLICE_BY_SLICE, str(tmp_path / "v.nii"), window],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) / 1024 < 400, "MB more than before"
