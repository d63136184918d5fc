"""Masklets of a case in a folder: written, looked at, corrected in other formats and written again."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.masklet_files import write_masklets
from trocar.datasets.masklets import DEFAULTS
from trocar.formats import write_masks
from trocar.formats.mask_files import read_masks
from trocar.frames import ArraySource
from trocar.masks import FrameMasks

Mask = NDArray[np.bool_]
FRAMES, SIDE = 8, 48


def square(left: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[18:30, left : left + 12] = True
    return mask


def images() -> NDArray[np.uint8]:
    pixels = np.full((FRAMES, SIDE, SIDE, 3), 100, np.uint8)
    for frame in range(FRAMES):
        pixels[frame, square(left_of(frame))] = (220, 200, 40)
    return pixels


def left_of(frame: int) -> int:
    """A grasper that is at the left, and from frame 4 on, with nothing in between, at the right."""
    return 2 if frame < 4 else 34


SOURCE = ArraySource(images(), "jump")
DATASET = Dataset(
    name="drawn",
    title="Drawn",
    frames="video",
    ids="classes",
    licence="none",
    obtain="",
    citation="nobody",
    classes={5: "Grasper"},
    splits={"all": Split("all")},
    layout="",
    cases=lambda root, split: iter(()),
    write_fixture=lambda root: None,
)
CASE = Case("jump", FRAMES, lambda: SOURCE, lambda frame: FrameTruth({5: square(left_of(frame))}), {5: "Grasper"})
SHORT = replace(DEFAULTS, association=replace(DEFAULTS.association, gap=0))


def ids_of(folder: Path) -> list[list[int]]:
    return [[i for i, mask in one.masks.items() if mask.any()] for one in read_masks(folder)]


def test_a_result_holds_masks_history_and_what_to_look_at(tmp_path: Path) -> None:
    report = write_masklets(tmp_path / "jump", DATASET, CASE, SHORT)
    assert report.masklets == {1: "grasper", 2: "grasper"}
    assert ids_of(tmp_path / "jump") == [[1]] * 4 + [[2]] * 4
    masks = read_masks(tmp_path / "jump", source=SOURCE)
    assert masks.name_of(2) == "grasper"
    assert all((one.masks[1 if one.frame < 4 else 2] == square(left_of(one.frame))).all() for one in masks)
    record = json.loads((tmp_path / "jump/masklets.json").read_text())
    assert record["set"]["name"] == "drawn"
    assert record["settings"]["association"]["gap"] == 0
    assert record["names"] == [{"id": 5, "given": "Grasper", "standard": "grasper", "how": "spelling", "nearest": ""}]
    first, second = record["masklets"]
    assert first["from"] == [{"id": 5, "name": "Grasper", "seen": [[0, 3]]}]
    assert second["seen"] == [[4, 7]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jump"], "nothing half written is left"


def corrected_as(kind: str, folder: Path) -> Path:
    """Frame 4 corrected: what was called 2 is 1, and two columns wider. As label PNG or as run-length codes."""
    wider = square(34) | square(32)
    if kind == "png":
        folder.mkdir()
        Image.fromarray(wider.astype(np.uint8)).save(folder / "00004.png")
        return folder
    write_masks(folder, [FrameMasks(4, {1: wider})], SOURCE, ("rle",))
    return folder


@pytest.mark.parametrize("kind", ["png", "rle"])
def test_a_correction_wins_and_is_carried_on(tmp_path: Path, kind: str) -> None:
    write_masklets(tmp_path / "jump", DATASET, CASE, SHORT)
    corrections = read_masks(corrected_as(kind, tmp_path / "mine"), source=SOURCE)
    report = write_masklets(tmp_path / "jump", DATASET, CASE, SHORT, [corrections])
    assert report.masklets == {1: "grasper"}
    assert ids_of(tmp_path / "jump") == [[1]] * 8
    found = {one.frame: one for one in read_masks(tmp_path / "jump")}
    assert (found[4].masks[1] == square(34) | square(32)).all()
    assert (found[5].masks[1] == square(34)).all()
    assert found[4].prompted == {1}
    record = json.loads((tmp_path / "jump/masklets.json").read_text())
    assert record["masklets"][0]["corrected"] == [4]
    assert len(record["corrections"]) == 1


def test_ids_of_later_corrections_mean_what_they_meant(tmp_path: Path) -> None:
    """Frame 2 loses its object by a correction, which alone would give what begins after it another id."""
    write_masklets(tmp_path / "jump", DATASET, CASE, SHORT)
    write_masks(
        tmp_path / "mine", [FrameMasks(2, {1: square(2) & False}), FrameMasks(6, {2: square(30)})], SOURCE, ["rle"]
    )
    write_masklets(tmp_path / "jump", DATASET, CASE, SHORT, [read_masks(tmp_path / "mine", source=SOURCE)])
    found = {one.frame: one.masks for one in read_masks(tmp_path / "jump")}
    assert [sorted(found[frame]) for frame in (0, 1, 2, 4, 5, 6, 7)] == [[1], [1], [], [2], [2], [2], [2]]
    assert (found[6][2] == square(30)).all()
    assert list(found[3]) not in ([1], [2]), "without a gap to be bridged, frame 3 is a masklet of its own"


def test_the_table_and_the_sheet_begin_with_what_is_most_suspicious(tmp_path: Path) -> None:
    objects = {5: "Grasper", 6: "Widget"}

    def truth(frame: int) -> FrameTruth:
        return FrameTruth({5: square(left_of(0))} | ({6: square(20)} if frame == 3 else {}))

    report = write_masklets(tmp_path / "jump", DATASET, replace(CASE, truth=truth, objects=objects), DEFAULTS)
    assert report.flags == (1, 1)
    assert list(report.unknown_names) == ["Widget"]
    (line,) = csv.DictReader((tmp_path / "jump/review.csv").open())
    assert (line["frame"], line["masklet"], line["reason"]) == ("3", "2", "one frame")
    with Image.open(tmp_path / "jump/review.png") as sheet:
        assert min(sheet.size) > 200


def test_an_earlier_result_survives_a_failure_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    write_masklets(tmp_path / "jump", DATASET, CASE, SHORT)

    def broken(frame: int) -> FrameTruth:
        if frame == 3:
            raise ValueError("frame 3 is damaged")
        return FrameTruth({5: square(2)})

    with pytest.raises(ValueError, match="damaged"):
        write_masklets(tmp_path / "jump", DATASET, replace(CASE, truth=broken), SHORT)
    assert ids_of(tmp_path / "jump") == [[1]] * 4 + [[2]] * 4
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="something else"):
        write_masklets(tmp_path / "other", DATASET, CASE)
    assert (tmp_path / "other/mine.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jump", "other"]


def test_corrections_of_frames_without_truth_are_refused(tmp_path: Path) -> None:
    write_masks(tmp_path / "mine", [FrameMasks(6, {1: square(2)})], SOURCE, ["rle"])
    corrections = read_masks(tmp_path / "mine", source=SOURCE)
    with pytest.raises(ValueError, match="frame 6"):
        write_masklets(tmp_path / "jump", DATASET, replace(CASE, annotated=(0, 2, 4)), DEFAULTS, [corrections])
