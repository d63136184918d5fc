"""Folders that `trocar segment` filled are cases of a data set."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from trocar.datasets.check import check_dataset
from trocar.datasets.fixture import save
from trocar.formats import MaskOutput, ObjectInfo, open_source
from trocar.load import load_dataset
from trocar.masks import FrameMasks

OWN = load_dataset("own-data")
SIZE = (6, 8)


def masks_at(frame: int) -> FrameMasks:
    left, all_of_it = np.zeros(SIZE, np.bool_), np.ones(SIZE, np.bool_)
    left[:, : frame + 1] = True
    return FrameMasks(frame, {3: left, 7: all_of_it})


def filled(root: Path, output: str, frames: int = 4) -> Path:
    """A case of the test split with masks of its second and fourth frame."""
    folder = root / "test" / "CIS-Test" / "VID14"
    for number in range(frames):
        save(folder / "frames" / f"t50_{number * 30:06d}.png", np.zeros((*SIZE, 3), np.uint8))
    with MaskOutput(folder, open_source(folder / "frames"), [output], objects={3: ObjectInfo("hook")}) as masks:
        for frame in (1, 3):
            masks.write(masks_at(frame))
    return folder


@pytest.mark.parametrize("output", ["rle", "object-png", "png"])
def test_what_segment_wrote_is_read_as_it_is(tmp_path: Path, output: str) -> None:
    filled(tmp_path, output)
    (case,) = OWN.read(tmp_path, "test")
    assert (case.name, case.frames, case.annotated) == ("CIS-Test/VID14", 4, (1, 3))
    assert case.truth(0) is None
    truth = case.truth(1)
    assert truth is not None
    if output == "png":  # a label map keeps the higher id where masks overlap
        assert set(truth.masks) == {7}
        return
    assert case.objects == {3: "hook" if output == "rle" else "object", 7: "object"}
    for number, mask in masks_at(1).masks.items():
        np.testing.assert_array_equal(truth.masks[number], mask)


def test_the_journal_counts_where_there_is_nothing_else(tmp_path: Path) -> None:
    folder = filled(tmp_path, "rle")
    (folder / "masks.json").unlink()
    (case,) = OWN.read(tmp_path, "test")
    assert (case.annotated, sorted(case.objects)) == ((1, 3), [3, 7])


def test_documents_list_all_frames_of_a_video(tmp_path: Path) -> None:
    filled(tmp_path, "youtube-vis")
    (case,) = OWN.read(tmp_path, "test")
    first, second = case.truth(0), case.truth(1)
    assert first is not None
    assert second is not None
    assert (len(case.annotated_frames), len(first.masks), sorted(second.masks)) == (4, 0, [3, 7])


def test_a_table_names_the_objects(tmp_path: Path) -> None:
    folder = filled(tmp_path, "object-png")
    (tmp_path / "classes.json").write_text(json.dumps({"3": "forceps", "9": "spleen"}))
    assert OWN.read(tmp_path, "test")[0].objects == {3: "forceps", 7: "object"}
    (folder / "classes.json").write_text(json.dumps({"7": "liver"}))
    assert OWN.read(tmp_path, "test")[0].objects == {3: "object", 7: "liver"}


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: os.truncate(folder / "masks.json", 120), "masks.json is not a file of masks, or is damaged"),
        (lambda folder: (folder / "classes.json").write_text('{"hook": 1}'), "classes.json: invalid literal"),
        (lambda folder: (folder / "frames" / "t50_000030.png").unlink(), "has no picture for the mask 't50_000030'"),
        (lambda folder: [path.unlink() for path in folder.glob("masks*")], "VID14 has frames and no masks: put masks"),
    ],
)
def test_what_is_wrong_with_one_case_hides_no_other(tmp_path: Path, damage, problem: str) -> None:
    damage(filled(tmp_path / "a", "rle"))
    (tmp_path / "a" / "test" / "CIS-Test" / "VID14").rename(tmp_path / "a" / "test" / "CIS-Test" / "VID22")
    filled(tmp_path / "a", "rle")
    report = check_dataset(OWN, tmp_path / "a")
    assert report.cases["test"] == 2
    assert report.frames["test"] == 4
    (found,) = [one for one in report.findings if one.split == "test"]
    assert found.case == "CIS-Test/VID22"
    assert problem.replace("VID14", "VID22") in found.problem
