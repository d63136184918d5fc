from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trocar.formats.mask_set import MaskSet
from trocar.formats.nifti import NiftiSource, read_nifti_masks, write_nifti
from trocar.formats.placing import lay_on
from trocar.frames import ArraySource, FrameSource
from trocar.masks import FrameMasks


def oriented_affine(axes: tuple[int, ...], flips: tuple[int, ...], tilt_deg: float = 0.0) -> np.ndarray:
    """Voxel axis a points to world axis axes[a], backwards if flipped; spacing 1, 2, 3; then tilted."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for voxel_axis, (world_axis, flip) in enumerate(zip(axes, flips, strict=True)):
        affine[world_axis, voxel_axis] = (voxel_axis + 1) * flip
    affine[:3, :3] = (
        Rotation.from_euler("xyz", [tilt_deg, tilt_deg / 2, -tilt_deg], degrees=True).as_matrix() @ affine[:3, :3]
    )
    affine[:3, 3] = (10, -20, 30)
    return affine


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def masks_on(source: FrameSource, frames: list[FrameMasks]) -> MaskSet:
    return MaskSet(source, lambda: iter(frames))


def ramp(shape: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    return np.arange(1, np.prod(shape) + 1, dtype=np.int16).reshape(shape)


@settings(max_examples=40, deadline=None)
@given(
    axes=st.permutations(range(3)),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
    tilt_deg=st.floats(-25, 25),
    plane=st.sampled_from(["axial", "coronal", "sagittal"]),
)
def test_labels_come_back_to_their_voxels(
    tmp_path_factory: pytest.TempPathFactory, axes: list[int], flips: tuple[int, ...], tilt_deg: float, plane: str
) -> None:
    """Whatever the orientation: a label drawn where a voxel is shown lies on that voxel in the file written."""
    folder = tmp_path_factory.mktemp("n")
    affine = oriented_affine(tuple(axes), flips, tilt_deg)
    data = ramp()
    source = NiftiSource(save(folder / "v.nii.gz", data, affine), plane=plane)
    index = (1, 2, 0)
    value = source.values(index[0])[index[1:]]
    voxel = tuple(int(n) for n in np.argwhere(data == value)[0])
    # The same voxel is at the same place in the patient, both ways round.
    shown_mm = source.geometry.affine @ [*index, 1]
    assert np.allclose(shown_mm, affine @ [*voxel, 1], atol=1e-4)
    mask = np.zeros(source.geometry.size, bool)
    mask[index[1:]] = True
    write_nifti(folder / "m.nii.gz", masks_on(source, [FrameMasks(index[0], {7: mask})]))
    written = nib.load(folder / "m.nii.gz")
    assert written.shape == data.shape
    assert np.array_equal(written.affine, nib.load(folder / "v.nii.gz").affine)
    assert np.argwhere(np.asarray(written.dataobj) == 7).tolist() == [list(voxel)]


def test_axial_slices_are_seen_from_the_feet(tmp_path: Path) -> None:
    """By hand: in a RAS file the last voxel along y is the front (top row), the last along x is shown left."""
    data = np.zeros((3, 4, 5), np.int16)
    data[2, 3, 1] = 100  # right, front, second from the feet
    source = NiftiSource(save(tmp_path / "v.nii", data, np.eye(4)))
    assert len(source) == 5
    assert source.geometry.size == (4, 3)
    assert np.argwhere(source[1].image[..., 0]).tolist() == [[0, 0]]
    assert source.geometry.spacing_mm == (1, 1, 1)


@pytest.mark.parametrize(("plane", "shape"), [("coronal", (4, 5, 3)), ("sagittal", (3, 5, 4))])
def test_other_planes(tmp_path: Path, plane: str, shape: tuple[int, int, int]) -> None:
    source = NiftiSource(save(tmp_path / "v.nii", ramp((3, 4, 5)), np.eye(4)), plane=plane)
    assert (len(source), *source.geometry.size) == shape
    with pytest.raises(ValueError, match="no plane is called 'diagonal': use axial"):
        NiftiSource(tmp_path / "v.nii", plane="diagonal")


def test_header_forms_and_codes_are_kept(tmp_path: Path) -> None:
    """qform and sform may differ; both go out as they came in."""
    image = nib.Nifti1Image(ramp(), None)
    image.set_qform(oriented_affine((0, 1, 2), (1, 1, 1), 10), code=1)
    image.set_sform(oriented_affine((1, 0, 2), (-1, 1, 1)), code=4)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "v.nii.gz")
    source = NiftiSource(tmp_path / "v.nii.gz")
    write_nifti(tmp_path / "m.nii.gz", masks_on(source, []))
    before, after = (nib.load(tmp_path / name).header for name in ("v.nii.gz", "m.nii.gz"))
    for field in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "srow_x", "srow_y"):
        assert np.array_equal(before[field], after[field]), field
    assert np.array_equal(before["pixdim"], after["pixdim"])
    assert before["xyzt_units"] == after["xyzt_units"]
    assert after.get_data_dtype() == np.uint8


def test_simpleitk_sees_labels_over_the_picture(tmp_path: Path) -> None:
    affine = oriented_affine((2, 0, 1), (-1, 1, -1), 12)
    source = NiftiSource(save(tmp_path / "v.nii.gz", ramp(), affine))
    masks = [FrameMasks(i, {300: source.values(i) % 7 == 0}) for i in reversed(range(len(source)))]
    write_nifti(tmp_path / "m.nii.gz", masks_on(source, masks))
    picture, labels = (sitk.ReadImage(str(tmp_path / name)) for name in ("v.nii.gz", "m.nii.gz"))
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(picture, get)(), getattr(labels, get)(), atol=1e-6), get
    assert np.array_equal(sitk.GetArrayFromImage(labels) == 300, sitk.GetArrayFromImage(picture) % 7 == 0)


def test_written_labels_read_back(tmp_path: Path) -> None:
    source = NiftiSource(save(tmp_path / "v.nii.gz", ramp(), oriented_affine((2, 1, 0), (1, -1, 1))))
    wanted = [FrameMasks(i, {1: source.values(i) % 5 == 0, 2: source.values(i) % 5 == 1}) for i in range(len(source))]
    write_nifti(tmp_path / "m.nii.gz", masks_on(source, wanted))
    for before, after in zip(wanted, read_nifti_masks(tmp_path / "m.nii.gz"), strict=True):
        assert before.frame == after.frame
        assert all(np.array_equal(before.masks[i], after.masks[i]) for i in (1, 2))


def test_flat_and_singleton_shapes_are_kept(tmp_path: Path) -> None:
    for number, shape in enumerate([(4, 5), (4, 5, 1), (4, 5, 6, 1)]):
        source = NiftiSource(save(tmp_path / f"{number}.nii", ramp(shape), np.eye(4)))
        write_nifti(tmp_path / "m.nii", masks_on(source, [FrameMasks(0, {1: np.ones(source.geometry.size, bool)})]))
        written = nib.load(tmp_path / "m.nii")
        assert written.shape == nib.load(tmp_path / f"{number}.nii").shape
        assert np.asarray(written.dataobj).sum() == 20


def test_what_is_not_one_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 5, 6, 3\), that is 3 volumes: save the one you want"):
        NiftiSource(save(tmp_path / "4d.nii.gz", ramp((4, 5, 6, 3)), np.eye(4)))
    (tmp_path / "text.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"text\.nii\.gz cannot be read as NIfTI"):
        NiftiSource(tmp_path / "text.nii.gz")
    whole = save(tmp_path / "w.nii.gz", np.random.default_rng(0).integers(0, 999, (30, 30, 30), np.int16), np.eye(4))
    (tmp_path / "cut.nii.gz").write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut\.nii\.gz is cut short"):
        NiftiSource(tmp_path / "cut.nii.gz")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        NiftiSource(tmp_path / "gone.nii")
    with pytest.raises(ValueError, match="holds fractions, not labels"):
        list(read_nifti_masks(save(tmp_path / "f.nii", np.full((2, 2, 2), 0.5, np.float32), np.eye(4))))
    with pytest.raises(ValueError, match="needs a source that says where in the patient it lies"):
        write_nifti(tmp_path / "m.nii", masks_on(ArraySource(np.zeros((1, 4, 4), np.uint8)), []))


def test_stored_slope_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.array([[[0, 500, 1000]]], np.int16), np.eye(4))
    image.header.set_slope_inter(1, -1000)
    nib.save(image, tmp_path / "v.nii")
    raw = nib.load(tmp_path / "v.nii")
    source = NiftiSource(tmp_path / "v.nii")
    assert [source.values(i).item() for i in range(3)] == np.asarray(raw.dataobj).ravel().tolist()


@pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA names no data folder")
@pytest.mark.parametrize(
    ("picture", "labels"),
    [
        ("oriented_mr/t2.nii.gz", "oriented_mr/t2_seg-manual.nii.gz"),
        ("oriented_mr/t1w.nii.gz", "oriented_mr/t1w_seg-manual.nii.gz"),
        ("nifti/example_mr_sm.nii.gz", "nifti/example_seg_mr.nii.gz"),
    ],
)
def test_real_labels_survive(tmp_path: Path, picture: str, labels: str) -> None:
    data = Path(os.environ["TROCAR_DATA"]) / "formats"
    source = NiftiSource(data / picture)
    assert isinstance(source, FrameSource)
    write_nifti(tmp_path / "m.nii.gz", lay_on(read_nifti_masks(data / labels), source))
    truth, written = sitk.ReadImage(str(data / labels)), sitk.ReadImage(str(tmp_path / "m.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(truth).astype(int), sitk.GetArrayFromImage(written))
    assert np.array_equal(nib.load(data / picture).affine, nib.load(tmp_path / "m.nii.gz").affine)


@pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA names no data folder")
def test_real_ct_gets_the_abdomen_window() -> None:
    source = NiftiSource(Path(os.environ["TROCAR_DATA"]) / "formats/nifti/example_ct.nii.gz")
    assert (source.window.low, source.window.high) == (-160, 240)
    assert (len(source), source.geometry.size) == (112, (101, 122))
