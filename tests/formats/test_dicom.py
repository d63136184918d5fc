"""Series of slices: places by hand and against SimpleITK's reading; what is no volume is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from made_dicom import cine, enhanced, header, save, write_series
from pydicom.uid import (
    CTImageStorage,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SegmentationStorage,
)
from scipy.spatial.transform import Rotation

from trocar.formats import open_source
from trocar.formats.dicom import DicomVolume
from trocar.formats.dicom_headers import list_series
from trocar.formats.volume import itk_affine
from trocar.frames import FrameSource

needs_data = pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA names no data folder")


def values(slices: int = 6, rows: int = 9, columns: int = 8) -> np.ndarray:
    """Every voxel different, as 12-bit CT is stored."""
    return np.arange(slices * rows * columns, dtype=np.uint16).reshape(slices, rows, columns)


def by_simpleitk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def check_against_simpleitk(source: Any, image: sitk.Image) -> None:
    """Each voxel that is shown lies, and measures, what SimpleITK says of it."""
    theirs = itk_affine(image.GetSpacing(), image.GetDirection(), image.GetOrigin())
    assert np.abs(source.grid.affine - theirs).max() < 1e-6
    shown = np.stack([source.values(i) for i in range(len(source))])
    assert np.array_equal(source.to_voxels(shown), sitk.GetArrayFromImage(image).transpose())
    index = np.array([len(source) - 1, 2, 1])
    x, y, z = (source.geometry.affine @ [*index, 1])[:3]
    physical = image.TransformPhysicalPointToIndex((-x, -y, z))
    assert image.GetPixel(*physical) == shown[tuple(index)]


TURNS = {
    "axial": np.eye(3),
    "feet first, mirrored": np.diag([-1.0, 1.0, -1.0]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "sagittal": np.array([[0, 1.0, 0], [0, 0, -1], [-1, 0, 0]]),
    "oblique": Rotation.from_euler("xyz", [20, -11, 7], degrees=True).as_matrix(),
}


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("turn", TURNS)
def test_series_lie_where_simpleitk_puts_them(tmp_path: Path, turn: str, plane: str) -> None:
    write_series(tmp_path, values(), TURNS[turn][:2])
    source = open_source(tmp_path, plane=plane)
    assert isinstance(source, FrameSource)
    assert isinstance(source, DicomVolume)
    check_against_simpleitk(source, by_simpleitk(tmp_path))


def test_axial_slices_by_hand(tmp_path: Path) -> None:
    """Sorted from the feet, first row to the front, first column to the right; RAS has x and y of the other sign."""
    write_series(tmp_path, values())
    source = open_source(tmp_path)
    assert source.values(0)[0, :3].tolist() == [-1024, -1023, -1022]
    assert source.geometry.spacing_mm == pytest.approx((2.5, 0.7, 0.5))
    assert source.geometry.affine @ [0, 0, 0, 1] == pytest.approx([10.5, -20.25, 30.125, 1])
    assert source.geometry.affine @ [1, 2, 3, 1] == pytest.approx([10.5 - 1.5, -20.25 - 1.4, 32.625, 1])
    assert [one.position[2] for one in source.slices] == sorted(one.position[2] for one in source.slices)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_compressed_pixels_are_the_same(tmp_path: Path, syntax: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (3, 32, 48), np.uint16)
    write_series(tmp_path, pixels, syntax=syntax)
    source = open_source(tmp_path)
    assert all(np.array_equal(source.values(i), pixels[i].astype(int) - 1024) for i in range(3))


def test_jpeg_lossless_from_another_writer(tmp_path: Path) -> None:
    """Process 14, in which many scanners and archives store; written by GDCM."""
    import gdcm

    pixels = np.random.default_rng(0).integers(0, 4096, (2, 32, 48), np.uint16)
    for path in write_series(tmp_path / "plain", pixels):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(tmp_path / path.name))
        assert writer.Write()
    shutil.rmtree(tmp_path / "plain")
    source = open_source(tmp_path)
    assert all(np.array_equal(source.values(i), pixels[i].astype(int) - 1024) for i in range(2))


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    """As in PET; in every plane."""
    paths = write_series(tmp_path, values(3), RescaleSlope=1)
    from pydicom import dcmread

    for number, path in enumerate(paths):
        one = dcmread(path)
        one.RescaleSlope, one.RescaleIntercept, one.Modality = 0.5 + number, 0, "PT"
        one.save_as(path)
    source = open_source(tmp_path)
    assert [source.values(i)[0, 1] / values(3)[i, 0, 1] for i in range(3)] == pytest.approx([0.5, 1.5, 2.5])
    side = open_source(tmp_path, plane="coronal")
    shown = np.stack([side.values(i) for i in range(len(side))])
    assert np.array_equal(side.to_voxels(shown), source.to_voxels(np.stack([source.values(i) for i in range(3)])))


def test_one_slice_and_one_file(tmp_path: Path) -> None:
    """The thickness stands for the spacing where there is no next slice."""
    (path,) = write_series(tmp_path, values(1))
    for source in (open_source(tmp_path), open_source(path)):
        assert len(source) == 1
        assert source.geometry.spacing_mm == pytest.approx((2.5, 0.7, 0.5))


def test_enhanced_multiframe(tmp_path: Path) -> None:
    """Frames in any order; slope 2 and intercept -1000 of the shared group."""
    path = save(enhanced(values(3), [6, 0, 3]), tmp_path / "e.dcm")
    source = open_source(path)
    assert [int(source.values(i)[0, 0]) for i in range(3)] == [2 * int(values(3)[n, 0, 0]) - 1000 for n in (1, 2, 0)]
    assert source.geometry.spacing_mm == pytest.approx((3, 0.7, 0.5))
    assert source.geometry.affine @ [0, 0, 0, 1] == pytest.approx([10, -20, 0, 1])


def test_sheared_stack_of_a_tilted_gantry_keeps_its_places(tmp_path: Path) -> None:
    write_series(tmp_path, values(), step=np.array([0, 0.5, 2.5]))
    source = open_source(tmp_path)
    assert source.geometry.affine @ [2, 0, 0, 1] == pytest.approx([10.5, -20.25 - 1, 30.125 + 5, 1])


def test_series_are_listed_and_chosen(tmp_path: Path) -> None:
    write_series(tmp_path / "a", values(3))
    write_series(tmp_path / "b", values(4), SeriesInstanceUID="1.2.9.1", SeriesNumber=7, SeriesDescription="lung")
    mask = header(SegmentationStorage, "SEG", np.zeros((9, 8), np.uint8), SeriesInstanceUID="1.2.9.2", SeriesNumber=9)
    save(mask, tmp_path / "seg.dcm")
    (tmp_path / "DICOMDIR").write_bytes(b"")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert [(one.number, one.images, one.is_pictures) for one in list_series(tmp_path)] == [
        (4, 3, True),
        (7, 4, True),
        (9, 1, False),
    ]
    with pytest.raises(
        ValueError, match=r"holds 2 series: say which.* 4: CT 'made', 3 images 8x9.*7: CT 'lung'.*1\.2\.9"
    ):
        open_source(tmp_path)
    assert [len(open_source(tmp_path, series=name)) for name in (7, "4", "1.2.9.1", "1.2.3")] == [4, 3, 4, 3]
    with pytest.raises(ValueError, match=r"2 series are called '1\.2\.9'"):
        open_source(tmp_path, series="1.2.9")
    with pytest.raises(ValueError, match="no series is called '5'"):
        open_source(tmp_path, series=5)
    with pytest.raises(ValueError, match=r"series '9' of .* is SEG, not pictures"):
        open_source(tmp_path, series=9)
    with pytest.raises(ValueError, match="holds no DICOM pictures, but SEG"):
        open_source(tmp_path / "seg.dcm")


def test_missing_doubled_and_uneven_slices_are_said(tmp_path: Path) -> None:
    paths = write_series(tmp_path, values())
    shutil.copy(paths[3], tmp_path / "copy.dcm")
    with pytest.raises(ValueError, match=r"copy\.dcm.*and.*_3\.dcm.*lie in the same place|_3.*and copy\.dcm"):
        open_source(tmp_path)
    (tmp_path / "copy.dcm").unlink()
    paths[3].unlink()
    with pytest.raises(
        ValueError, match=r"1 slice is missing in .* between .*_2\.dcm .* and .*_4\.dcm .*uneven='keep'"
    ):
        open_source(tmp_path)
    kept = open_source(tmp_path, uneven="keep")
    assert (len(kept), kept.geometry.affine, kept.geometry.spacing_mm) == (5, None, None)
    assert int(kept.values(3)[0, 0]) == int(values()[4, 0, 0]) - 1024
    with pytest.raises(ValueError, match="uneven must be 'refuse' or 'keep'"):
        open_source(tmp_path, uneven="yes")


def test_uneven_spacing_is_said(tmp_path: Path) -> None:
    for number, z in enumerate([0, 2.5, 5, 8.2, 10]):
        write_series(tmp_path / str(number), values(1), ImagePositionPatient=[0, 0, z])
    with pytest.raises(ValueError, match=r"unevenly spaced, 1\.8 to 3\.2 mm apart: .* is 0\.7 mm off its place"):
        open_source(tmp_path)


CHANGES = {
    "size": ({}, values(1, 9, 7), r"differ in size \(9, 7\)"),
    "orientation": ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, values(1), "differ in orientation"),
    "spacing": ({"PixelSpacing": [0.7, 0.7]}, values(1), "differ in pixel spacing"),
    "zero spacing": ({"PixelSpacing": [0, 0.7]}, values(1), "pixel spacing of 0 x 0.7 mm"),
    "no spacing": ({"PixelSpacing": None}, values(1), "PixelSpacing is missing"),
    "no orientation": ({"ImageOrientationPatient": None}, values(1), "ImageOrientationPatient is missing"),
    "skew": ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, values(1), "not perpendicular unit vectors"),
    "samples": ({"PhotometricInterpretation": "RGB"}, values(1), "says RGB but has 1 samples"),
    "kind": ({"PhotometricInterpretation": "HSV"}, values(1), "photometric interpretation HSV: only MONOCHROME1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_mixed_and_impossible_headers_are_refused(tmp_path: Path, change: str) -> None:
    fields, pixels, message = CHANGES[change]
    write_series(tmp_path, values(3))
    place = {"ImagePositionPatient": [-10.5, 20.25, 37.625]}
    write_series(tmp_path / "odd", pixels, **(place | fields))
    with pytest.raises(ValueError, match=message):
        open_source(tmp_path / "odd" if "differ" not in message else tmp_path, series=4)


def test_spacing_that_is_no_number_is_refused(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, values(1))
    data = path.read_bytes()
    assert data.count(b"0.7\\0.5 ") == 1
    path.write_bytes(data.replace(b"0.7\\0.5 ", b"NaN\\0.5 "))
    with pytest.raises(ValueError, match=r"dcm.*PixelSpacing|dcm is not a DICOM"):
        open_source(tmp_path)


def test_strangers_and_damage_are_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, values(3))
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"notes\.txt is not a DICOM file: take it out"):
        open_source(tmp_path)
    (tmp_path / "notes.txt").rename(tmp_path / "notes.dcm")
    with pytest.raises(ValueError, match=r"notes\.dcm is not a DICOM picture"):
        open_source(tmp_path)
    (tmp_path / "notes.dcm").unlink()
    paths[0].write_bytes(paths[0].read_bytes()[:-60])
    source = open_source(tmp_path)
    with pytest.raises(ValueError, match=r"the pixels of .*_0\.dcm cannot be decoded"):
        source[0]
    with pytest.raises(ValueError, match=r"key does not apply to .*: leave it out; it takes window, plane, series"):
        open_source(tmp_path, key="image")


def test_ct_without_a_place_is_no_volume(tmp_path: Path) -> None:
    save(header(CTImageStorage, "CT", values(1)[0]), tmp_path / "a.dcm")
    with pytest.raises(ValueError, match=r"a\.dcm does not say where it lies in the patient"):
        open_source(tmp_path / "a.dcm")


def test_only_ct_gets_the_abdomen_window(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", values(3))
    assert (open_source(tmp_path / "ct").window.low, open_source(tmp_path / "ct").window.high) == (-160, 240)
    write_series(tmp_path / "mr", values(3), Modality="MR", RescaleIntercept=0)
    positive = values(3)[values(3) > 0]
    window = open_source(tmp_path / "mr").window
    assert (window.low, window.high) == pytest.approx(tuple(np.percentile(positive, (0.5, 99.5))))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    write_series(tmp_path, values(1), PhotometricInterpretation="MONOCHROME1")
    image = open_source(tmp_path, window=(-1024 + 35.5, 71))[0].image
    assert image[0, 0].tolist() == [255] * 3
    assert image[-1, -1].tolist() == [0] * 3


def test_video_options_are_those_of_pictures(tmp_path: Path) -> None:
    path = save(cine(np.zeros((2, 4, 6), np.uint8)), tmp_path / "c.dcm")
    with pytest.raises(ValueError, match="plane does not apply to"):
        open_source(path, plane="coronal")


@needs_data
@pytest.mark.parametrize("folder", ["dicom_ct", "dicom_seg_dcmqi/ct-3slice"])
def test_real_series_lie_where_simpleitk_puts_them(folder: str) -> None:
    data = Path(os.environ["TROCAR_DATA"]) / "formats" / folder
    check_against_simpleitk(open_source(data), by_simpleitk(data))


@needs_data
def test_real_series_fits_its_labels() -> None:
    """The label volume was made from the same slices: same places, and bodies where the labels are."""
    formats = Path(os.environ["TROCAR_DATA"]) / "formats"
    source = open_source(formats / "dicom_ct")
    labels = open_source(formats / "dicom_ct_labels.nii.gz")
    assert len(source) == len(labels)
    assert source.geometry.size == labels.geometry.size
    assert np.allclose(source.geometry.affine, labels.geometry.affine, atol=1e-3)
    assert nib.aff2axcodes(source.geometry.affine) == ("S", "P", "L")
    inside = np.concatenate([source.values(i)[labels.values(i) > 0] for i in range(len(source))])
    assert np.median(inside) > -200


@needs_data
def test_whole_slides_and_other_objects_are_refused() -> None:
    folder = Path(os.environ["TROCAR_DATA"]) / "formats/dicom_seg_highdicom"
    with pytest.raises(ValueError, match="whole slide cut into tiles"):
        open_source(folder / "sm_image.dcm")
    with pytest.raises(ValueError, match="holds no DICOM pictures, but SEG"):
        open_source(folder / "seg_image_ct_binary.dcm")
    with pytest.raises(ValueError, match="holds no DICOM pictures, but SR"):
        open_source(folder / "sr_document.dcm")
    assert open_source(folder / "dx_image.dcm")[0].image.shape == (169, 211, 3)
