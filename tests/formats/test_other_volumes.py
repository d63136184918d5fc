"""NRRD, MetaImage, npz, HDF5 and TIFF stacks: written by others, read in the same places."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scipy.spatial.transform import Rotation

from trocar.formats import FORMATS, ReadOptions, open_source, read_masks
from trocar.formats.npz import read_npz_boxes
from trocar.formats.volume import VolumeSource, itk_affine
from trocar.frames import FrameSource
from trocar.prompts import Box

needs_data = pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA names no data folder")

TURNS = {
    "straight": np.eye(3),
    "mirrored": np.diag([-1.0, 1.0, -1.0]),
    "swapped": np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]),
    "oblique": Rotation.from_euler("xyz", [20, -11, 7], degrees=True).as_matrix(),
}


def ramp(shape: tuple[int, ...] = (4, 5, 6), dtype: Any = np.int16) -> np.ndarray:
    return np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)


def image_of(data: np.ndarray, turn: str = "oblique") -> sitk.Image:
    image = sitk.GetImageFromArray(data)
    image.SetSpacing((0.5, 0.7, 2.5))
    image.SetOrigin((-10.5, 20.25, 30.125))
    image.SetDirection(TURNS[turn].ravel().tolist())
    return image


def check(source: FrameSource, image: sitk.Image) -> None:
    assert isinstance(source, VolumeSource)
    theirs = itk_affine(image.GetSpacing(), image.GetDirection(), image.GetOrigin())
    assert np.abs(source.grid.affine - theirs).max() < 1e-6
    shown = np.stack([source.values(i) for i in range(len(source))])
    assert np.array_equal(source.to_voxels(shown), sitk.GetArrayFromImage(image).transpose())
    index = np.array([len(source) - 1, 2, 1])
    x, y, z = (source.geometry.affine @ [*index, 1])[:3]
    assert image.GetPixel(*image.TransformPhysicalPointToIndex((-x, -y, z))) == shown[tuple(index)]


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("compress", [False, True], ids=["raw", "compressed"])
@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii"])
def test_simpleitks_volumes(tmp_path: Path, ending: str, compress: bool, turn: str, plane: str) -> None:
    image = image_of(ramp(), turn)
    sitk.WriteImage(image, str(tmp_path / f"v{ending}"), compress)
    if ending == ".nii":  # NIfTI stores the affine in single precision
        image = sitk.ReadImage(str(tmp_path / "v.nii"))
    check(open_source(tmp_path / f"v{ending}", plane=plane), image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_number_kinds(tmp_path: Path, dtype: Any) -> None:
    for ending in (".nrrd", ".mha"):
        sitk.WriteImage(image_of(ramp(dtype=dtype)), str(tmp_path / f"v{ending}"))
        check(open_source(tmp_path / f"v{ending}"), image_of(ramp(dtype=dtype)))


def test_one_slice_and_one_time_point(tmp_path: Path) -> None:
    for ending in (".nrrd", ".mha"):
        sitk.WriteImage(sitk.GetImageFromArray(ramp((5, 6))), str(tmp_path / f"flat{ending}"))
        assert np.array_equal(open_source(tmp_path / f"flat{ending}").values(0), ramp((5, 6)))
        sitk.WriteImage(sitk.JoinSeries([image_of(ramp())]), str(tmp_path / f"t1{ending}"))
        source = open_source(tmp_path / f"t1{ending}")
        if ending == ".mha":
            check(source, image_of(ramp()))
        else:  # ITK names no space in NRRD of four axes, so there is no affine to trust
            assert source.geometry.affine is None
            assert source.to_voxels(np.stack([source.values(i) for i in range(len(source))])).shape == (6, 5, 4)
        sitk.WriteImage(sitk.JoinSeries([image_of(ramp())] * 2), str(tmp_path / f"t2{ending}"))
        with pytest.raises(ValueError, match=r"t2.* has shape \(6, 5, 4, 2\), that is 2 volumes"):
            open_source(tmp_path / f"t2{ending}")


def test_big_endian_is_read(tmp_path: Path) -> None:
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 6 5 4\nspacings: 1 2 3\nendian: big\nencoding: raw\n\n"
    (tmp_path / "v.nrrd").write_bytes(head.encode() + ramp(dtype=">i2").tobytes())
    source = open_source(tmp_path / "v.nrrd")
    assert all(np.array_equal(source.values(i), ramp()[i]) for i in range(4))
    # Without a space the axes may point anywhere: no affine, the file's own order.
    assert (source.geometry.affine, source.geometry.spacing_mm) == (None, (3, 2, 1))


def test_right_anterior_superior_nrrd_by_hand(tmp_path: Path) -> None:
    head = (
        "NRRD0004\ntype: int16\ndimension: 3\nspace: right-anterior-superior\nsizes: 6 5 4\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (1,2,3)\nendian: little\nencoding: raw\n\n"
    )
    (tmp_path / "v.nrrd").write_bytes(head.encode() + ramp(dtype="<i2").tobytes())
    source = open_source(tmp_path / "v.nrrd")
    assert np.allclose(source.grid.affine, [[2, 0, 0, 1], [0, 3, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]])
    assert source.values(0)[0, 0] == ramp()[0, 4, 5]  # front, right


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii", ".nii.gz"])
def test_what_is_cut_short_is_refused(tmp_path: Path, ending: str, compress: bool) -> None:
    data = np.random.default_rng(0).integers(0, 999, (20, 30, 30), np.int16)
    path = tmp_path / f"v{ending}"
    sitk.WriteImage(image_of(data), str(path), compress)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ValueError, match=r"v\..* is cut short"):
        open_source(path)


def test_what_is_no_grey_volume_is_refused(tmp_path: Path) -> None:
    for ending in (".nrrd", ".mha"):
        colour = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
        sitk.WriteImage(colour, str(tmp_path / f"c{ending}"))
        with pytest.raises(ValueError, match="holds several numbers a voxel"):
            open_source(tmp_path / f"c{ending}")
        (tmp_path / f"bad{ending}").write_bytes(b"nothing")
        with pytest.raises(ValueError, match=r"bad\..* cannot be read: its header is damaged"):
            open_source(tmp_path / f"bad{ending}")
        sitk.WriteImage(image_of(ramp()), str(tmp_path / f"z{ending}"))
        text = (tmp_path / f"z{ending}").read_bytes()
    text = text.replace(b"ElementSpacing = 0.5", b"ElementSpacing = nan")
    (tmp_path / "z.mha").write_bytes(text)
    with pytest.raises(ValueError, match=r"z\.mha"):
        open_source(tmp_path / "z.mha")


def npz(path: Path, **values: Any) -> Path:
    np.savez_compressed(path, **values)
    return path


def test_medsams_npz(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 5, 6), np.uint8)
    truth = (pictures > 128).astype(np.uint8) + (pictures > 200)
    boxes = np.array([[1, 2, 3, 4], [0, 0, 5, 4]])
    path = npz(tmp_path / "a.npz", imgs=pictures, gts=truth, spacing=np.array([0.5, 0.7, 2.5]), boxes=boxes)
    source = open_source(path)
    assert np.array_equal(source[2].image[..., 0], pictures[2])
    assert (source.geometry.spacing_mm, source.geometry.affine) == ((2.5, 0.7, 0.5), None)
    read = FORMATS["npz"].read_masks
    assert read is not None
    for frame in read(path):
        assert all(np.array_equal(frame.masks[i], truth[frame.frame] == i) for i in (1, 2))
    assert read_npz_boxes(path) == [Box(1, 2, 3, 4), Box(0, 0, 5, 4)]
    colour = npz(tmp_path / "c.npz", imgs=np.stack([pictures] * 3, axis=3))
    assert np.array_equal(open_source(colour)[1].image[..., 2], pictures[1])
    assert read_npz_boxes(colour) == []


def test_npz_with_simpleitks_direction(tmp_path: Path) -> None:
    image = image_of(ramp(dtype=np.uint8), "swapped")
    said = {"spacing": image.GetSpacing(), "direction": image.GetDirection(), "origin": image.GetOrigin()}
    path = npz(tmp_path / "a.npz", imgs=sitk.GetArrayFromImage(image), **said)
    source = open_source(path)
    index = np.array([2, 1, 1])
    x, y, z = (source.geometry.affine @ [*index, 1])[:3]
    assert image.GetPixel(*image.TransformPhysicalPointToIndex((-x, -y, z))) == source.values(2)[1, 1]


def test_odd_npz_is_refused(tmp_path: Path) -> None:
    for name, values, message in (
        ("none", {"x": np.zeros(3)}, "has no array 'imgs'"),
        ("flat", {"imgs": np.zeros(3)}, r"imgs is float64 \(3,\), not"),
        ("objects", {"imgs": np.array([{}, 1])}, "it holds Python objects"),
        ("deep", {"imgs": np.zeros((2, 3, 4, 3), np.uint16)}, "only uint8 colour"),
        ("nan", {"imgs": ramp(dtype=np.uint8), "spacing": np.array([1, np.nan, 1])}, "where its voxels lie"),
    ):
        with pytest.raises(ValueError, match=message):
            open_source(npz(tmp_path / f"{name}.npz", **values))
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"bad\.npz cannot be read as npz: it is damaged"):
        open_source(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match="not rows of x0, y0, x1, y1"):
        read_npz_boxes(npz(tmp_path / "b.npz", boxes=np.zeros((2, 6))))


def test_hdf5_by_key(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["image"], file["group/label"] = ramp(), (ramp() > 60).astype(np.uint8)
        file["flat"], file["name"] = ramp((5, 6)), "words"
    source = open_source(tmp_path / "v.h5", key="image")
    assert all(np.array_equal(source.values(i), ramp()[i]) for i in range(4))
    assert (source.geometry.affine, source.name) == (None, f"{tmp_path / 'v.h5'}:image")
    side = open_source(tmp_path / "v.h5", key="/image", plane="coronal")
    assert np.array_equal(side.values(2), ramp()[::-1, 2])
    assert np.array_equal(open_source(tmp_path / "v.h5", key="flat").values(0), ramp((5, 6)))
    masks = list(read_masks(tmp_path / "v.h5", options=ReadOptions(key="group/label")))
    assert [int(one.masks[1].sum()) for one in masks] == [0, 0, 30, 30]
    with pytest.raises(
        ValueError, match=r"holds flat int16 \(5, 6\), group/label uint8 \(4, 5, 6\).*: say which with key="
    ):
        open_source(tmp_path / "v.h5")
    with pytest.raises(ValueError, match="the data set 'nope' is not there"):
        open_source(tmp_path / "v.h5", key="nope")
    with pytest.raises(ValueError, match="the data set 'name' cannot be shown as slices"):
        open_source(tmp_path / "v.h5", key="name")
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.h5 cannot be read as HDF5"):
        open_source(tmp_path / "bad.h5")


def stack(path: Path, pages: list[np.ndarray], **options: Any) -> Path:
    images = [Image.fromarray(page) for page in pages]
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_stacks(tmp_path: Path, compression: str | None) -> None:
    deep = ramp(dtype=np.uint16) * 100
    source = open_source(stack(tmp_path / "s.tif", list(deep), compression=compression))
    assert isinstance(source, VolumeSource)
    assert all(np.array_equal(source.values(i), deep[i]) for i in (3, 0, 2))
    side = open_source(tmp_path / "s.tif", plane="sagittal")
    assert np.array_equal(side.values(1), deep[::-1, :, 1])
    # One window for all pages: a dark page stays darker than a bright one.
    assert source[0].image.max() < source[3].image.max()
    plain = open_source(stack(tmp_path / "p.tif", list(ramp(dtype=np.uint8))))
    assert np.array_equal(plain[1].image[..., 0], ramp()[1])


def test_tiffs_that_are_no_stacks(tmp_path: Path) -> None:
    pages = [np.full((4, 6, 3), n, np.uint8) for n in (7, 8)]
    source = open_source(stack(tmp_path / "rgb.tif", pages))
    assert [source[i].image[0, 0].tolist() for i in (1, 0)] == [[8] * 3, [7] * 3]
    with pytest.raises(ValueError, match="plane does not apply to"):
        open_source(tmp_path / "rgb.tif", plane="coronal")
    uneven = stack(tmp_path / "u.tif", [np.zeros((4, 6), np.uint16), np.zeros((4, 5), np.uint16)])
    with pytest.raises(ValueError, match=r"page 1 of .*u\.tif is \(4, 5\), the first \(4, 6\)"):
        open_source(uneven)[1]
    words = "ImageJ=1.53\nimages=9\nslices=9\n"
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "ij.tif", description=words)
    with pytest.raises(ValueError, match="keeps 9 ImageJ slices in one TIFF page"):
        open_source(tmp_path / "ij.tif")


@pytest.mark.parametrize("format", ["nrrd", "metaimage", "tiff"])
def test_label_volumes_are_masks(tmp_path: Path, format: str) -> None:
    labels = (np.arange(120).reshape(4, 5, 6) // 25).astype(np.uint16)
    path = tmp_path / {"nrrd": "m.nrrd", "metaimage": "m.mha", "tiff": "m.tif"}[format]
    if format == "tiff":
        stack(path, list(labels))
    else:
        sitk.WriteImage(image_of(labels, "straight"), str(path))
    read = FORMATS[format].read_masks
    assert read is not None
    for frame in read(path):
        assert set(frame.masks) == {1, 2, 3, 4}
        assert all(np.array_equal(mask, labels[frame.frame] == i) for i, mask in frame.masks.items())


@needs_data
@pytest.mark.parametrize("name", ["nrrd/brain1_image.nrrd", "dicom_seg_dcmqi/liver_seg.nrrd"])
def test_real_nrrd(name: str) -> None:
    path = Path(os.environ["TROCAR_DATA"]) / "formats" / name
    check(open_source(path), sitk.ReadImage(str(path)))


@needs_data
def test_real_npz_lies_as_its_direction_says() -> None:
    """Its columns run to the back and its rows to the left: shown upright it is transposed."""
    path = Path(os.environ["TROCAR_DATA"]) / "formats/npz/CT_Lesion_000001_02_01_008-023.npz"
    source = open_source(path)
    with np.load(path) as file:
        pictures, truth = file["imgs"], file["gts"]
    assert np.array_equal(source[3].image[..., 0], pictures[::-1][3].T)
    read = FORMATS["npz"].read_masks
    assert read is not None
    assert all(np.array_equal(one.masks[1], truth[::-1][one.frame].T == 1) for one in read(path))


@needs_data
def test_real_tiff_stack() -> None:
    folder = Path(os.environ["TROCAR_DATA"]) / "formats/instances"
    source = open_source(folder / "img3d.tif")
    assert (len(source), source.geometry.size) == (31, (61, 57))
    read = FORMATS["tiff"].read_masks
    assert read is not None
    assert len(next(iter(read(folder / "mask3d.tif"))).masks) > 10
    assert len(open_source(folder / "img2d.tif")) == 1


@needs_data
def test_real_hdf5_asks_for_its_key() -> None:
    path = sorted((Path(os.environ["TROCAR_DATA"]) / "acdc").rglob("*.h5"))[0]
    with pytest.raises(ValueError, match=r"holds image float32 .*label uint8.*say which with key="):
        open_source(path)
    assert open_source(path, key="image")[0].image.max() > 0
