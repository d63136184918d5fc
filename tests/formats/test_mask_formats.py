"""Every format that masks are read from and written in: each pair of them holds what both can, and refuses the rest.

The exam runs over the table: a format that joins it is in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from made_masks import ORIENTATIONS, content, dicom_series, masks_of, with_scores

from trocar.formats import FORMATS, ConvertOptions, MaskSet, ReadOptions, convert_masks, open_source, read_masks
from trocar.formats.convert import write_mask_set
from trocar.formats.mask_files import mask_format
from trocar.formats.nifti import NiftiSource
from trocar.formats.table import HOLDABLE
from trocar.frames import FrameSource
from trocar.masks import FrameMasks

BOTH_WAYS = [name for name, info in FORMATS.items() if info.read_masks is not None and info.writes]
PLACED = [name for name in BOTH_WAYS if "geometry" in FORMATS[name].holds]
REFERRING = [name for name in BOTH_WAYS if name.startswith("dicom")]

needs_data = pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA is not set")


def put(folder: Path, masks: MaskSet, name: str) -> Path:
    path = folder / FORMATS[name].output
    write_mask_set(path, masks, name)
    return path


def names(masks: MaskSet) -> dict[int, str]:
    return {i: info.name for i, info in masks.objects.items() if info.name}


def check_pair(before: Path, after: Path, pair: tuple[str, str], truth: MaskSet) -> None:
    """Convert, with what the pair needs said, and compare with the truth."""
    first, second = pair
    source: FrameSource | None = None
    drop = set()
    if "geometry" in FORMATS[first].holds and "geometry" not in FORMATS[second].holds:
        with pytest.raises(ValueError, match=r"does not hold where .* lies in the patient.*drop 'geometry'"):
            convert_masks(before, after, ConvertOptions(first, second))
        drop = {"geometry"}
    if second in REFERRING or (FORMATS[second].fits is not None and "geometry" not in FORMATS[first].holds):
        with pytest.raises(ValueError, match=r"give the (series|volume)"):
            convert_masks(before, after, ConvertOptions(first, second))
        source = truth.on
    assert not after.exists()
    done = convert_masks(before, after, ConvertOptions(first, second, source, drop=frozenset(drop)))
    assert (done.frames, set(done.objects)) == (len(truth.on), {i for _, i in content(truth)})
    found = read_masks(after, second)
    assert content(found) == content(truth), pair
    assert len(found.on) == len(truth.on)
    if "geometry" in FORMATS[second].holds and (source is not None or "geometry" in FORMATS[first].holds):
        assert found.on.geometry.affine == pytest.approx(truth.on.geometry.affine, abs=1e-6), pair
    if "names" in FORMATS[first].holds and "names" in FORMATS[second].holds:
        assert names(found) == names(truth), pair


@pytest.mark.parametrize("first", BOTH_WAYS)
def test_every_pair(tmp_path: Path, first: str) -> None:
    truth = masks_of(dicom_series(tmp_path / "ct", "oblique"))
    before = put(tmp_path / "a", truth, first)
    assert content(read_masks(before, first)) == content(truth)
    for second in BOTH_WAYS:
        check_pair(before, tmp_path / second / FORMATS[second].output, (first, second), truth)


@pytest.mark.parametrize("kind", [kind for kind in ORIENTATIONS if kind != "oblique"])
def test_every_pair_that_holds_geometry(tmp_path: Path, kind: str) -> None:
    truth = masks_of(dicom_series(tmp_path / "ct", kind))
    for first in PLACED:
        before = put(tmp_path / first, truth, first)
        for second in PLACED:
            check_pair(before, tmp_path / f"{first}-{second}" / FORMATS[second].output, (first, second), truth)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_overlaps_and_scores_are_kept_or_refused(tmp_path: Path, name: str) -> None:
    source = dicom_series(tmp_path / "ct", "straight")
    truth = with_scores(masks_of(source, overlap=True))
    holds = FORMATS[name].holds
    before, after = put(tmp_path, truth, "rle"), tmp_path / "out" / FORMATS[name].output
    drop = {"geometry"} - set(holds)
    if "scores" not in holds:
        with pytest.raises(ValueError, match="does not hold the scores"):
            convert_masks(before, after, ConvertOptions(None, name, source, drop=frozenset(drop)))
        drop.add("scores")
    if "overlap" not in holds:
        with pytest.raises(ValueError, match=r"objects 2 and 7 overlap on frame 0, and \S+ holds one object a pixel"):
            convert_masks(before, after, ConvertOptions(None, name, source, drop=frozenset(drop)))
    assert not after.exists()
    for how in ("highest", "lowest"):
        out = after.with_name(f"{how}-{after.name}")
        convert_masks(before, out, ConvertOptions(None, name, source, overlap=how, drop=frozenset(drop)))
        found = {(one.frame, i): mask for one in read_masks(out, name) for i, mask in one.masks.items()}
        for one in truth:
            both = one.masks[2] & one.masks[7]
            assert both.any()
            for object_id, mask in one.masks.items():
                lost = both & ("overlap" not in holds and object_id == (2 if how == "highest" else 7))
                assert np.array_equal(found.get((one.frame, object_id), np.zeros_like(mask)), mask & ~lost)
    if "scores" in holds:
        scores = {score for one in read_masks(out, name) for score in one.scores.values()}
        assert scores == {0.5}


@pytest.mark.parametrize("name", [name for name in BOTH_WAYS if FORMATS[name].highest_id is not None])
def test_ids_beyond_a_format_are_refused_or_renumbered(tmp_path: Path, name: str) -> None:
    source = dicom_series(tmp_path / "ct", "straight")
    mask = next(iter(masks_of(source))).masks[1]
    highest = FORMATS[name].highest_id
    assert highest is not None
    truth = MaskSet(source, lambda: iter([FrameMasks(0, {highest: mask, highest + 1: ~mask})]))
    before, after = put(tmp_path, truth, "rle"), tmp_path / "out" / FORMATS[name].output
    drop = frozenset({"geometry"} - set(FORMATS[name].holds))
    with pytest.raises(ValueError, match=f"has the object id {highest + 1}, and {name} holds ids 1 to {highest}"):
        convert_masks(before, after, ConvertOptions(None, name, source, drop=drop))
    assert not after.parent.exists() or not any(after.parent.iterdir())
    done = convert_masks(before, after, ConvertOptions(None, name, source, ids="renumber", drop=drop))
    assert done.objects == {1: highest, 2: highest + 1}
    assert any("renumbered" in note for note in done.notes)
    found = next(iter(read_masks(after, name)))
    assert np.array_equal(found.masks[1], mask)
    assert np.array_equal(found.masks[2], ~mask)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_formats_are_told_by_their_content(tmp_path: Path, name: str) -> None:
    truth = masks_of(dicom_series(tmp_path / "ct", "straight"))
    told = mask_format(put(tmp_path / "out", truth, name))
    assert told == ("dicom-seg" if name in REFERRING else name)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_files_cut_short_are_refused(tmp_path: Path, name: str) -> None:
    truth = masks_of(dicom_series(tmp_path / "ct", "straight"))
    path = put(tmp_path / "out", truth, name)
    file = sorted(path.rglob("*.*"))[0] if path.is_dir() else path
    data = file.read_bytes()
    for part in (0.9, 0.5, 0.02):
        file.write_bytes(data[: int(len(data) * part)])
        if (name, part) == ("object-png", 0.9):  # the last bytes of a PNG are no pixels
            assert content(read_masks(path, name)) == content(truth)
            continue
        with pytest.raises(ValueError, match=str(tmp_path)) as caught:
            list(read_masks(path, name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_nothing_half_written_is_left(tmp_path: Path, name: str) -> None:
    truth = masks_of(dicom_series(tmp_path / "ct", "straight"))

    def breaking() -> Iterator[FrameMasks]:
        yield next(iter(truth))
        raise RuntimeError("the machine failed")

    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError):
        write_mask_set(tmp_path / "out" / FORMATS[name].output, replace(truth, frames=breaking), name)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", [name for name in PLACED if name not in REFERRING])
@pytest.mark.parametrize("shape", [(30, 24, 6, 1), (30, 24, 1), (30, 24), (30, 24, 6)])
def test_on_volumes_of_other_shapes(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    affine = np.array([[0, 0, 2.5, -7], [-0.5, 0, 0, 3], [0, 0.75, 0, 11.5], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), affine), tmp_path / "v.nii.gz")
    truth = masks_of(open_source(tmp_path / "v.nii.gz"))
    found = read_masks(put(tmp_path, truth, name), name)
    assert content(found) == content(truth)
    assert found.on.geometry.affine == pytest.approx(truth.on.geometry.affine, abs=1e-6)
    if name != "rle":  # it knows where slices lie, not in which order a file's voxels were
        back = convert_masks(put(tmp_path / "b", found, "nrrd"), tmp_path / "b.nii.gz").path
        assert nib.load(back).affine == pytest.approx(affine, abs=1e-6)


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
@pytest.mark.parametrize("name", PLACED)
def test_masks_made_in_another_plane(tmp_path: Path, name: str, plane: str) -> None:
    dicom_series(tmp_path / "ct", "oblique")
    source = open_source(tmp_path / "ct", plane=plane)
    truth = masks_of(source)
    found = read_masks(put(tmp_path, truth, name), name, source, ReadOptions(plane=plane))
    assert content(found) == content(truth)


def test_independent_readers_agree(tmp_path: Path) -> None:
    """nibabel and SimpleITK see the same label in the same place of the patient."""
    truth = masks_of(dicom_series(tmp_path / "ct", "oblique"))
    images = [sitk.ReadImage(str(put(tmp_path, truth, name))) for name in ("nifti", "nrrd", "metaimage")]
    nifti = nib.load(tmp_path / FORMATS["nifti"].output)
    affine = truth.on.geometry.affine
    assert affine is not None
    for one in truth:
        for object_id, mask in one.masks.items():
            for row, column in np.argwhere(mask)[::17]:
                place = affine @ [one.frame, row, column, 1]
                voxel = np.rint(np.linalg.inv(nifti.affine) @ place)[:3].astype(int)
                assert nifti.dataobj[tuple(voxel)] == object_id
                for image in images:
                    index = image.TransformPhysicalPointToIndex((-place[0], -place[1], place[2]))
                    assert image[index] == object_id


@needs_data
@pytest.mark.parametrize("name", [name for name in PLACED if name not in REFERRING])
def test_real_oriented_volumes(tmp_path: Path, name: str) -> None:
    folder = Path(os.environ["TROCAR_DATA"]) / "formats/oriented_mr"
    labels = folder / "t2_seg-manual.nii.gz"
    truth = read_masks(labels)
    found = read_masks(put(tmp_path, truth, name), name)
    assert content(found) == content(truth)
    # NIfTI holds single precision, and this affine came from one.
    assert found.on.geometry.affine == pytest.approx(truth.on.geometry.affine, abs=1e-6)
    if name == "rle":
        return
    assert isinstance(truth.on, NiftiSource)
    written = sitk.ReadImage(str(tmp_path / FORMATS[name].output))
    assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(sitk.ReadImage(str(labels))))


def test_the_table_says_what_formats_hold() -> None:
    for name, info in FORMATS.items():
        assert set(info.holds) <= set(HOLDABLE), name
        assert (info.write_frame is None) == (info.frame_files == ""), name
        if info.highest_id is not None:
            assert info.writes, name
