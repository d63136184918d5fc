"""The check of a set on disk says what is there, missing, damaged or altered."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from trocar.datasets.check import check_dataset
from trocar.load import load_dataset

FOLDS = load_dataset("vocalfolds")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    FOLDS.write_fixture(tmp_path)
    return tmp_path


def problems(root: Path) -> list[str]:
    return [finding.problem for finding in check_dataset(FOLDS, root).findings]


def test_a_whole_set(root: Path) -> None:
    report = check_dataset(FOLDS, root)
    assert report.whole
    assert report.cases == report.published == {"train": 3, "tune": 1, "held_out": 4}
    assert report.frames == {"train": 9, "tune": 3, "held_out": 12}


def test_a_label_without_its_frame_is_named(root: Path) -> None:
    (root / "images/patient2/seq6/0002.jpg").unlink()
    assert problems(root) == [f"{root}/images/patient2/seq6/0002.jpg does not exist: check the name"]


def test_a_truncated_file_costs_its_frame_only(root: Path) -> None:
    path = root / "labels/patient1/seq2/0010.png"
    path.write_bytes(path.read_bytes()[:60])
    report = check_dataset(FOLDS, root)
    assert [(one.split, one.case) for one in report.findings] == [("held_out", "patient1/seq2")]
    assert "0010.png cannot be read as a picture" in report.findings[0].problem
    assert report.frames["held_out"] == 11


def test_a_missing_sequence_is_named(root: Path) -> None:
    for path in (root / "images/patient2/seq8").iterdir():
        path.unlink()
    assert any("seq8 holds no *.jpg files" in problem for problem in problems(root))


def test_fewer_cases_than_published_are_said(root: Path) -> None:
    more = replace(FOLDS, splits={"tune": replace(FOLDS.splits["tune"], cases=5, names=())}, cases=_tune)
    assert [one.problem for one in check_dataset(more, root).findings] == [
        "1 cases are there and 5 are published: fetch the others"
    ]


def _tune(root: Path, split: str):
    yield FOLDS.read(root, "tune")[0]


def test_a_wrong_checksum_is_named(root: Path) -> None:
    (root / "a.zip").write_bytes(b"abc")
    good = f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    assert check_dataset(replace(FOLDS, checksums={"a.zip": good}), root, pixels=False).whole
    (finding,) = check_dataset(replace(FOLDS, checksums={"a.zip": "md5:0"}), root, pixels=False).findings
    assert "a.zip has the md5" in finding.problem


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder: put Vocal folds there"):
        check_dataset(FOLDS, tmp_path / "nowhere")
