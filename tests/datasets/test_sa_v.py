"""SA-V and DAVIS: which frames are annotated, what objects are called, what is void."""

import json
from pathlib import Path

import numpy as np
import pytest

from trocar.datasets.check import check_dataset
from trocar.datasets.fixture import save
from trocar.load import load_dataset
from trocar.masks import to_rle

SA_V, DAVIS = load_dataset("sa-v"), load_dataset("davis17")


def test_every_fourth_frame_has_masks_which_may_overlap(tmp_path: Path) -> None:
    SA_V.write_fixture(tmp_path)
    (case,) = SA_V.read(tmp_path, "val")
    hand = tmp_path / "sav_val" / "Annotations_6fps" / case.name / "001" / "00004.png"
    whole = np.full((48, 64), 255, np.uint8)
    save(hand, whole)
    (case,) = SA_V.read(tmp_path, "val")
    assert (case.frames, case.annotated, case.objects) == (6, (0, 4), {1: "object", 2: "object"})
    truth = case.truth(4)
    assert truth is not None
    assert truth.masks[2].all()
    assert 0 < truth.masks[1].sum() < 48 * 64
    assert case.truth(3) is None


def test_an_object_s_folder_may_begin_later(tmp_path: Path) -> None:
    SA_V.write_fixture(tmp_path)
    folder = tmp_path / "sav_test" / "Annotations_6fps" / "sav_000003"
    (folder / "000" / "00000.png").unlink()
    (case,) = SA_V.read(tmp_path, "test")
    truth = case.truth(0)
    assert truth is not None
    assert (case.annotated, set(truth.masks)) == ((0, 4), {2})


def test_a_missing_annotated_frame_is_named(tmp_path: Path) -> None:
    SA_V.write_fixture(tmp_path)
    (tmp_path / "sav_val/JPEGImages_24fps/sav_000002/00004.jpg").unlink()
    found = [one.problem for one in check_dataset(SA_V, tmp_path).findings if one.case]
    assert found == [f"{tmp_path}/sav_val/JPEGImages_24fps/sav_000002/00004.jpg does not exist: check the name"]


@pytest.mark.parametrize("padding", ["", "x" * 5000])
def test_the_length_of_a_video_is_read_wherever_it_stands(tmp_path: Path, padding: str) -> None:
    folder = tmp_path / "sav_train" / "sav_051"
    folder.mkdir(parents=True)
    mask = np.eye(3, 4, dtype=np.bool_)
    said = {"video_environment": padding, "video_frame_count": 6.0, "video_height": 3.0, "video_width": 4.0}
    codes = [[to_rle(mask), None], [to_rle(~mask), to_rle(mask & False)]]
    document = folder / "sav_051999_manual.json"
    document.write_text(json.dumps(said | {"masklet": codes, "masklet_id": [0, 3]}))
    (case,) = SA_V.read(tmp_path, "train")
    assert (case.name, case.frames, case.annotated) == ("sav_051999", 6, (0, 4))
    assert case.objects == {1: "object", 4: "object"}
    first, last = case.truth(0), case.truth(4)
    assert first is not None
    assert last is not None
    assert (set(first.masks), set(last.masks)) == ({1}, {1})
    np.testing.assert_array_equal(first.masks[1], mask)
    np.testing.assert_array_equal(last.masks[1], ~mask)


def test_davis_has_void_pixels_and_the_objects_of_its_first_frame(tmp_path: Path) -> None:
    DAVIS.write_fixture(tmp_path)
    bear, boat = DAVIS.read(tmp_path, "train")
    assert (bear.name, boat.name, bear.objects) == ("bear", "boat", {1: "object", 2: "object"})
    truth = bear.truth(1)
    assert truth is not None
    assert truth.ignore is not None
    assert (truth.ignore[0, :5].all(), int(truth.ignore.sum()), set(truth.masks)) == (True, 5, {1, 2})
