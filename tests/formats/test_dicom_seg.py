"""DICOM segmentations: real ones of others read, ours read by others, and everything that cannot be right refused."""

from __future__ import annotations

import os
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from made_dicom import enhanced, save
from made_masks import ORIENTATIONS, content, dicom_series, masks_of

from trocar.formats import ConvertOptions, MaskSet, ObjectInfo, ReadOptions, convert_masks, open_source, read_masks
from trocar.formats.dicom_terms import load_terms
from trocar.formats.mask_set import Term
from trocar.frames import ArraySource
from trocar.masks import FrameMasks

needs_data = pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA is not set")
FORMATS_FOLDER = Path(os.environ.get("TROCAR_DATA", "")) / "formats"
DCMQI, HIGHDICOM = FORMATS_FOLDER / "dicom_seg_dcmqi", FORMATS_FOLDER / "dicom_seg_highdicom"


def write(masks: MaskSet, path: Path, labelmap: bool = False) -> Path:
    from trocar.formats.dicom_seg_writer import write_dicom_labelmap, write_dicom_seg

    (write_dicom_labelmap if labelmap else write_dicom_seg)(path, masks)
    return path


@needs_data
@pytest.mark.parametrize("with_source", [True, False])
def test_dcmqis_liver_lies_where_its_nrrd_truth_does(tmp_path: Path, with_source: bool) -> None:
    source = open_source(DCMQI / "ct-3slice") if with_source else None
    convert_masks(DCMQI / "liver.dcm", tmp_path / "liver.nrrd", ConvertOptions(source=source))
    found, truth = sitk.ReadImage(str(tmp_path / "liver.nrrd")), sitk.ReadImage(str(DCMQI / "liver_seg.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(truth))
    # The truth's header is rounded to a tenth of a micrometre.
    for said in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(found, said)() == pytest.approx(getattr(truth, said)(), abs=1e-4)


@needs_data
@pytest.mark.parametrize("with_source", [True, False])
def test_dcmqis_overlapping_segments(with_source: bool) -> None:
    source = open_source(DCMQI / "ct-3slice") if with_source else None
    masks = read_masks(DCMQI / "partial_overlaps.dcm", source=source)
    truth = [sitk.GetArrayFromImage(sitk.ReadImage(str(DCMQI / f"partial_overlaps-{n}.nrrd"))) for n in (1, 2, 3)]
    of = {1: truth[0], 4: truth[0], 5: truth[0], 2: truth[1], 3: truth[2]}
    frames = list(masks)
    assert [one.frame for one in frames] == [0, 1, 2]
    assert all(np.array_equal(one.masks[i], of[i][one.frame] == i) for one in frames for i in of)
    assert masks.objects[3].name == "PURPLE"


@needs_data
@pytest.mark.parametrize("path", sorted(HIGHDICOM.glob("*.dcm")), ids=lambda path: path.stem)
def test_highdicoms_files_are_read_or_refused_with_a_reason(path: Path) -> None:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    options = ReadOptions(threshold=0.5)
    if header.Modality != "SEG":
        with pytest.raises(ValueError, match="holds no DICOM segmentation"):
            read_masks(path, "dicom-seg")
    elif "_sm_" in path.name:
        with pytest.raises(ValueError, match="a whole slide cut into tiles"):
            read_masks(path, options=options)
    else:
        theirs = highdicom.seg.segread(path)
        pixels = theirs.pixel_array.reshape((-1, theirs.Rows, theirs.Columns))
        inside = pixels >= (128 if theirs.SegmentationType == "FRACTIONAL" else 1)
        found = list(read_masks(path, options=options))
        assert sum(int(mask.sum()) for one in found for mask in one.masks.values()) == inside.sum()
        if theirs.number_of_segments == 1:
            ours = np.stack([one.masks[1] for one in found if one.masks[1].any()])
            assert {mask.tobytes() for mask in ours} == {mask.tobytes() for mask in inside if mask.any()}


@needs_data
def test_fractions_ask_for_a_threshold() -> None:
    path = HIGHDICOM / "seg_image_ct_true_fractional.dcm"
    with pytest.raises(ValueError, match=r"is fractional \(PROBABILITY\): say with a threshold"):
        read_masks(path)
    areas = [
        sum(int(one.masks[1].sum()) for one in read_masks(path, options=ReadOptions(threshold=part)))
        for part in (0.1, 0.5, 0.9)
    ]
    values = pydicom.dcmread(path).pixel_array
    largest = pydicom.dcmread(path).MaximumFractionalValue
    assert areas == [int((values >= part * largest).sum()) for part in (0.1, 0.5, 0.9)]


@pytest.mark.parametrize("kind", list(ORIENTATIONS))
@pytest.mark.parametrize("labelmap", [False, True])
def test_pydicom_and_highdicom_read_what_we_write(tmp_path: Path, kind: str, labelmap: bool) -> None:
    source = dicom_series(tmp_path / "ct", kind)
    truth = masks_of(source, overlap=not labelmap)
    path = write(truth, tmp_path / "seg.dcm", labelmap)
    theirs = highdicom.seg.segread(path)
    assert theirs.SegmentationType == ("LABELMAP" if labelmap else "BINARY")
    series = {str(header.SOPInstanceUID): file for file, header in source.series.files}  # type: ignore[attr-defined]
    assert {str(uid) for _, _, uid in theirs.get_source_image_uids()} <= set(series)
    numbers = theirs.segment_numbers
    ids = {n: int(theirs.get_segment_description(n).tracking_id.rsplit(" ")[-1]) for n in numbers}
    assert set(ids.values()) == {i for _, i in content(truth)}
    # highdicom puts segments on the pictures by their UIDs, we by their places.
    uids = [str(one.uid) for one in source.slices]  # type: ignore[attr-defined]
    pixels = theirs.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    ours = {i: np.zeros((len(source), *source.geometry.size), np.uint8) for i in ids.values()}
    for one in truth:
        for object_id in ours:
            ours[object_id][one.frame] = one.masks[object_id]
    for number, object_id in ids.items():
        volume = source.to_voxels(ours[object_id]).transpose(2, 1, 0)  # type: ignore[attr-defined]
        assert np.array_equal(pixels[..., list(numbers).index(number)], volume)
    assert pydicom.dcmread(path).pixel_array.any()


def test_enhanced_multi_frame_sources(tmp_path: Path) -> None:
    """Frames that are stored in no order of place come out where they belong."""
    one = enhanced(np.arange(4 * 24 * 30).reshape(4, 24, 30).astype(np.uint16), [5, 0, 7.5, 2.5])
    one.FrameOfReferenceUID, one.DimensionOrganizationType = "1.2.9", "3D"
    shared = one.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence[0].SliceThickness = 2.5
    source = open_source(save(one, tmp_path / "ct.dcm"))
    truth = masks_of(source)
    for labelmap in (False, True):
        found = read_masks(write(truth, tmp_path / f"seg{labelmap}.dcm", labelmap))
        assert content(found) == content(truth)
        assert found.on.geometry.affine == pytest.approx(source.geometry.affine, abs=1e-6)


def test_slices_that_were_left_out_are_filled(tmp_path: Path) -> None:
    source = dicom_series(tmp_path / "ct", "oblique")
    mask = np.zeros(source.geometry.size, np.bool_)
    mask[3:9, 4:20] = True
    truth = MaskSet(source, lambda: iter([FrameMasks(1, {4: mask}), FrameMasks(5, {4: mask})]))
    path = write(truth, tmp_path / "seg.dcm")
    assert pydicom.dcmread(path).NumberOfFrames == 2
    alone, placed = read_masks(path), read_masks(path, source=source)
    assert [frame for frame, _ in content(alone)] == [0, 4]
    assert content(placed) == content(truth)
    labels = convert_masks(path, tmp_path / "m.nii.gz", ConvertOptions(source=source)).path
    assert content(read_masks(labels)) == content(truth)


def test_another_series_is_refused(tmp_path: Path) -> None:
    source = dicom_series(tmp_path / "a", "straight")
    path = write(masks_of(source), tmp_path / "seg.dcm")
    for file in dicom_series(tmp_path / "b", "straight").series.files:  # type: ignore[attr-defined]
        header = pydicom.dcmread(file[0])
        header.SeriesInstanceUID = "1.2.3.999"
        header.save_as(file[0])
    with pytest.raises(
        ValueError, match=r"refers to the series 1\.2\.3\.4, not to 1\.2\.3\.999 in .*b: give the series"
    ):
        read_masks(path, source=open_source(tmp_path / "b"))


def test_what_no_segmentation_can_refer_to(tmp_path: Path) -> None:
    mask = {1: np.ones((24, 30), np.bool_)}
    plain = ArraySource(np.zeros((2, 24, 30), np.uint8))
    with pytest.raises(ValueError, match="refers to a DICOM series of slices, which array is not"):
        write(MaskSet(plain, lambda: iter([FrameMasks(0, mask)])), tmp_path / "a.dcm")
    source = dicom_series(tmp_path / "ct", "straight")
    with pytest.raises(ValueError, match="there is no object in the masks"):
        write(MaskSet(source, lambda: iter([FrameMasks(0, {1: ~mask[1]})])), tmp_path / "a.dcm")
    long = MaskSet(source, lambda: iter([FrameMasks(0, mask)]), {1: ObjectInfo("n" * 65)})
    with pytest.raises(ValueError, match="more than the 64 characters"):
        write(long, tmp_path / "a.dcm")
    for file, header in source.series.files:  # type: ignore[attr-defined]
        del header.FrameOfReferenceUID
        pydicom.dcmread(file)
    with pytest.raises(ValueError, match="has no FrameOfReferenceUID"):
        write(masks_of(source), tmp_path / "a.dcm")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct"]


def test_terms_come_from_the_table_and_the_users_own(tmp_path: Path) -> None:
    source = dicom_series(tmp_path / "ct", "straight")
    (tmp_path / "mine.toml").write_text(
        '[terms."my organ"]\ncategory = "anatomy"\ntype = ["X1", "99MINE", "My organ"]\n'
        '[terms.Liver]\ncategory = ["C1", "99MINE", "Mine"]\ntype = ["X2", "99MINE", "My liver"]\n'
    )
    write(masks_of(source), tmp_path / "a.dcm")  # 1 is the liver, 2 is a name of no table, 7 has none
    found = read_masks(tmp_path / "a.dcm").objects
    assert found[1].terms == (Term("91723000", "SCT", "Anatomical Structure"), Term("10200004", "SCT", "Liver"))
    assert found[2].name == "left & <odd>"
    assert found[2].terms == (Term("85756007", "SCT", "Tissue"),) * 2
    assert found[7].name == ""
    options = ConvertOptions(
        "dicom-seg", "dicom-labelmap", source, names={1: "Liver", 7: "My Organ"}, terms=tmp_path / "mine.toml"
    )
    convert_masks(tmp_path / "a.dcm", tmp_path / "b.dcm", options)
    mine = read_masks(tmp_path / "b.dcm").objects
    assert mine[1].terms == (Term("C1", "99MINE", "Mine"), Term("X2", "99MINE", "My liver"))
    assert mine[7].terms == (Term("91723000", "SCT", "Anatomical Structure"), Term("X1", "99MINE", "My organ"))
    # Codes are kept by a conversion that says nothing about them.
    convert_masks(tmp_path / "b.dcm", tmp_path / "c.json", ConvertOptions(write_as="rle"))
    assert read_masks(tmp_path / "c.json").objects == mine


@pytest.mark.parametrize(
    "text", ["[terms.a]\ncategory = 1\n", "not toml", '[terms.a]\ncategory="anatomy"\ntype=["1"]\n']
)
def test_faulty_tables_of_terms_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ValueError, match=r"t\.toml"):
        load_terms(tmp_path / "t.toml")
    with pytest.raises(FileNotFoundError, match="check the name of the table"):
        load_terms(tmp_path / "none.toml")


def test_packaged_terms_are_those_of_the_standard() -> None:
    """Values and meanings as pydicom has them from DICOM part 16."""
    from pydicom.sr.codedict import codes

    known = {(code.value, code.meaning.lower()) for code in (getattr(codes.SCT, name) for name in codes.SCT.dir())}
    for terms in load_terms().values():
        assert {(term.value, term.meaning.lower()) for term in terms} <= known
