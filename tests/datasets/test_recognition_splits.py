"""Splits by case, and what is refused of recognition sets' files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from recognition_files import write_files

from trocar.datasets.recognition_clip import RecognitionClip, check_parts
from trocar.datasets.recognition_sets import recognition_set
from trocar.datasets.recognition_splits import VERSION, assign_cases, fits, write_manifest, write_test_videos
from trocar.pretrain.guard import read_test_videos, recording


def clip(case: str, source: str = "", label: int = 0) -> RecognitionClip:
    return RecognitionClip(Path(f"{case}.mp4"), 0, 8, label, case, source or case)


def counted(parts: dict[str, str]) -> dict[str, int]:
    return {part: list(parts.values()).count(part) for part in ("train", "validation", "test")}


def test_ours_is_seven_two_one_and_stays_so() -> None:
    cases = {f"c{number}": {0, 1} for number in range(40)}
    parts = assign_cases("made-up", cases, {})
    assert counted(parts) == {"train": 28, "validation": 8, "test": 4}
    assert parts == assign_cases("made-up", cases, {})
    assert parts != assign_cases("another", cases, {}), "the set's name is part of what is drawn"


def test_classes_are_divided_alike_where_a_case_has_one_class() -> None:
    """As in SurgicalActions160: ten clips of each class, 7 for training, 2 for validation, 1 for tests."""
    cases = {f"{label:02d}_{number}": {label} for label in range(16) for number in range(10)}
    parts = assign_cases("made-up", cases, {})
    for label in range(16):
        own = {case: part for case, part in parts.items() if case.startswith(f"{label:02d}_")}
        assert counted(own) == {"train": 7, "validation": 2, "test": 1}


def test_a_split_of_the_owners_without_validation_gives_an_eighth_of_training() -> None:
    cases = {f"video{number:02d}": {0} for number in range(1, 81)}
    patterns = {"train": ["video01..video40"], "test": ["video41..video80"]}
    parts = assign_cases("cholec80", cases, patterns)
    assert counted(parts) == {"train": 35, "validation": 5, "test": 40}
    assert {case for case, part in parts.items() if part == "test"} == {f"video{n}" for n in range(41, 81)}


def test_patterns() -> None:
    assert fits("video07", "video01..video40")
    assert not fits("video41", "video01..video40")
    assert not fits("clip07", "video01..video40")
    assert fits("case_18_validation", "*validation*")
    assert not fits("test_workflow_video_01", "workflow_video_*")


def test_a_case_outside_the_owners_split_or_in_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"case b belongs to no part of the split: move it away, or list it"):
        assign_cases("made-up", {"a": {0}, "b": {0}}, {"train": ["a"], "test": ["c"]})
    with pytest.raises(ValueError, match="belongs to train and test"):
        assign_cases("made-up", {"a": {0}}, {"train": ["*"], "test": ["a"]})
    with pytest.raises(ValueError, match="2 cases and a split needs 3"):
        assign_cases("made-up", {"a": {0}, "b": {0}}, {})


def test_parts_that_share_a_case_or_a_recording_are_refused() -> None:
    check_parts({"train": [clip("a"), clip("a")], "test": [clip("b")]}, "made-up")
    with pytest.raises(ValueError, match=r"made-up: train and test share 1 cases \(a\)"):
        check_parts({"train": [clip("a")], "test": [clip("b"), clip("a")]}, "made-up")
    with pytest.raises(ValueError, match=r"validation and test share 1 recordings \(tape\)"):
        check_parts({"validation": [clip("a", "tape")], "test": [clip("b", "tape")]}, "made-up")


def test_a_split_of_ones_own_goes_first_and_must_be_whole(tmp_path: Path) -> None:
    dataset = recognition_set("cholec80")
    write_files(dataset, tmp_path)
    own = tmp_path / "splits.csv"
    own.write_text("case,part\nvideo01,test\nvideo02,train\nvideo03,train\nvideo41,validation\n", encoding="utf-8")
    parts = dataset.read(tmp_path)
    assert {part: sorted({one.case for one in clips}) for part, clips in parts.items()} == {
        "train": ["video02", "video03"],
        "validation": ["video41"],
        "test": ["video01"],
    }
    own.write_text("case,part\nvideo01,test\n", encoding="utf-8")
    with pytest.raises(ValueError, match="does not list case video02: give it a part"):
        dataset.read(tmp_path)
    own.write_text("case,part\nvideo01,tests\n", encoding="utf-8")
    with pytest.raises(ValueError, match="part 'tests' of case video01 must be one of"):
        dataset.read(tmp_path)
    own.write_text("case,part\nvideo01,test\nvideo01,train\n", encoding="utf-8")
    with pytest.raises(ValueError, match="video01 is in two parts"):
        dataset.read(tmp_path)


def test_an_unknown_class_names_the_nearest(tmp_path: Path) -> None:
    dataset = recognition_set("cholec80")
    write_files(dataset, tmp_path)
    path = tmp_path / "phase_annotations/video01-phase.txt"
    path.write_text("Frame\tPhase\n0\tPreparatoin\n1\tPreparatoin\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'Preparatoin', which is none of the set's: did you mean 'Preparation'"):
        dataset.read(tmp_path)


def test_a_missing_video_and_a_damaged_table_are_named(tmp_path: Path) -> None:
    dataset = recognition_set("cataract-1k")
    write_files(dataset, tmp_path)
    (tmp_path / "videos/case_4690.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"case_4690\.mp4 is missing"):
        dataset.read(tmp_path)
    path = tmp_path / "annotations/case_4687/case_4687_annotations_phases.csv"
    path.write_text("heading\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"case_4687_annotations_phases\.csv is empty: fetch it again"):
        dataset.read(tmp_path)


def test_a_clip_without_a_frame_is_refused(tmp_path: Path) -> None:
    dataset = recognition_set("jigsaws")
    write_files(dataset, tmp_path)
    (tmp_path / "Suturing/transcriptions/Suturing_B001.txt").write_text("80 40 G1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has no frame \(80 to 41\)"):
        dataset.read(tmp_path)


def test_the_released_split_reads_and_its_shared_cases_are_found(tmp_path: Path) -> None:
    """As it is for Kvasir-Capsule: two pieces of one recording on both sides."""
    folder = tmp_path / "kvasir-capsule"
    folder.mkdir()
    line = '"__DATA_ROOT__/kvasir-capsule/videos/Ileocecal valve/04a78ef00c5245e0_{}.mp4" 0\n'
    for part, piece in (("train", "48542-48622"), ("val", "48702-48782"), ("test", "48702-48782")):
        (folder / f"{part}.csv").write_text(line.format(piece), encoding="utf-8")
    dataset = recognition_set("kvasir-capsule")
    parts = dataset.read_released(tmp_path)
    assert parts["train"][0].video == Path("kvasir-capsule/videos/Ileocecal valve/04a78ef00c5245e0_48542-48622.mp4")
    assert parts["test"][0].case == "04a78ef00c5245e0"
    with pytest.raises(ValueError, match="train and validation share 1 cases"):
        check_parts(parts, "kvasir-capsule")
    (folder / "test.csv").write_text(line.format("1-2").replace(" 0\n", " 7\n"), encoding="utf-8")
    with pytest.raises(ValueError, match="has class 7 and there are 7"):
        dataset.read_released(tmp_path)


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'cholec80'"):
        recognition_set("colec80")


def test_the_guard_of_pretraining_takes_the_test_videos(tmp_path: Path) -> None:
    """Under the names of data sets that have the same recordings too."""
    dataset = recognition_set("cholec80")
    write_files(dataset, tmp_path)
    write_test_videos(tmp_path / "test.toml", "cholec80", dataset.read(tmp_path), tmp_path)
    refused = read_test_videos([tmp_path / "test.toml"])
    assert recording("cholec80", "videos/video41.mp4") in refused
    assert recording("CholecT50", "VID41.mp4") in refused
    assert recording("cholec80", "videos/video01.mp4") not in refused


def test_a_manifest_says_set_version_and_clip(tmp_path: Path) -> None:
    dataset = recognition_set("cholec80")
    write_files(dataset, tmp_path)
    parts = dataset.read(tmp_path)
    write_manifest(tmp_path / "manifest.csv", "cholec80", parts, tmp_path)
    with (tmp_path / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(map(len, parts.values()))
    assert {row["version"] for row in rows} == {VERSION}
    assert rows[-1] == {
        "set": "cholec80",
        "version": VERSION,
        "part": "test",
        "case": "video41",
        "source_video": "video41",
        "video": "videos/video41.mp4",
        "start": "20",
        "stop": "40",
        "label": "4",
    }
