"""`trocar convert` as it is typed: what it writes and says, and the exit codes of what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from trocar.cli import main


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    volume = np.zeros((8, 7, 5), np.uint8)
    volume[2:5, 1:6, 1:4], volume[6, 3, 2] = 1, 4
    nib.save(nib.Nifti1Image(volume, np.diag([-1.5, -1.5, 3, 1])), tmp_path / "m.nii.gz")
    return tmp_path / "m.nii.gz"


def typed(*words: object) -> int:
    return main(["convert", *(str(word) for word in words)])


def test_there_and_back(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(labels, tmp_path / "m.nrrd", "--name", "1=liver") == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path / 'm.nrrd'}: 2 objects on 3 frames, as nrrd"
    assert typed(tmp_path / "m.nrrd", tmp_path / "b.nii.gz") == 0
    assert "note: nifti does not hold names: liver" in capsys.readouterr().err
    before, after = nib.load(labels), nib.load(tmp_path / "b.nii.gz")
    assert np.array_equal(np.asarray(before.dataobj), np.asarray(after.dataobj))
    assert np.array_equal(before.affine, after.affine)


def test_what_would_be_lost_is_refused_until_it_is_said(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(labels, tmp_path / "png", "--to", "png") == 2
    said = capsys.readouterr().err
    assert said.startswith("trocar: png does not hold where ")
    assert said.count("\n") == 1
    assert not (tmp_path / "png").exists()
    assert typed(labels, tmp_path / "png", "--to", "png", "--drop", "geometry", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {
        "path": str(tmp_path / "png"),
        "format": "png",
        "frames": 3,
        "notes": [],
        "objects": {"1": 1, "4": 4},
    }
    assert len(list((tmp_path / "png").iterdir())) == 5
    assert typed(tmp_path / "png", tmp_path / "back.nii.gz") == 2
    assert "give the volume the masks were made on" in capsys.readouterr().err
    assert typed(tmp_path / "png", tmp_path / "back.nii.gz", "--source", labels) == 0
    back = nib.load(tmp_path / "back.nii.gz")
    assert np.array_equal(np.asarray(back.dataobj), np.asarray(nib.load(labels).dataobj))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["m.json"], "m.json could be rle or coco or youtube-vis: say which it is to be written as"),
        (["m.dcm"], "could be dicom-seg or dicom-labelmap"),
        (["folder"], "does not tell a format"),
        (["m.nii.gz"], "exists already: choose another name"),
        (["o.mp4"], "overlay shows masks over their pictures"),
        (["o.nrrd", "--name", "liver"], "write ID=NAME, as in 1=liver"),
        (["o.nrrd", "--name", "9=liver"], "has no object 9 to be named: it has [1, 4]"),
        (["o.nrrd", "--threshold", "2"], "the threshold must lie above 0 and be 1 at most"),
        (["o.nrrd", "--series", "3"], "--series is about a DICOM --source"),
        (["o.nrrd", "--from", "cvat"], "cut short or damaged: it is not XML"),
        (["o.nrrd", "--source", "none.nii"], "none.nii does not exist"),
    ],
)
def test_bad_requests_are_one_line(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert typed(labels, tmp_path / words[0], *words[1:]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_pictures_with_masks(labels: Path, tmp_path: Path) -> None:
    ramp = np.arange(280, dtype=np.int16).reshape(8, 7, 5)
    nib.save(nib.Nifti1Image(ramp, np.diag([-1.5, -1.5, 3, 1])), tmp_path / "mr.nii.gz")
    for name, format in (("sheet.png", "montage"), ("film.mp4", "overlay")):
        assert typed(labels, tmp_path / name, "--to", format, "--source", tmp_path / "mr.nii.gz") == 0
        assert (tmp_path / name).stat().st_size > 500


def test_masks_of_another_grid_are_refused(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 7, 5), np.int16), np.diag([-1.5, -1.5, 3.1, 1])), tmp_path / "mr.nii.gz")
    assert typed(labels, tmp_path / "o.nrrd", "--source", tmp_path / "mr.nii.gz") == 2
    assert "lie on another grid than" in capsys.readouterr().err
    affine = np.diag([-1.5, -1.5, 3, 1])
    affine[:3, 3] = -1.5 * 2, 0, -3  # three slices, rows and columns more on some sides
    nib.save(nib.Nifti1Image(np.zeros((4, 7, 7), np.int16), affine), tmp_path / "part.nii.gz")
    assert typed(labels, tmp_path / "o.nrrd", "--source", tmp_path / "part.nii.gz") == 2
    assert "lies partly outside" in capsys.readouterr().err
    affine[:3, 3] = 1.5, 0, -3
    nib.save(nib.Nifti1Image(np.zeros((9, 7, 7), np.int16), affine), tmp_path / "more.nii.gz")
    assert typed(labels, tmp_path / "o.nii.gz", "--source", tmp_path / "more.nii.gz") == 0
    wider = np.asarray(nib.load(tmp_path / "o.nii.gz").dataobj)
    assert np.array_equal(wider[1:, :, 1:6], np.asarray(nib.load(labels).dataobj))
    assert np.count_nonzero(wider) == np.count_nonzero(nib.load(labels).dataobj)
