"""CholecInstanceSeg: its sequences, and its polygons as instances."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trocar.datasets.case import Case
from trocar.datasets.cholecinstanceseg import MOST, SPLITS
from trocar.datasets.fixture import save
from trocar.load import load_dataset

SET = load_dataset("cholecinstanceseg")
BOX = [[2.9, 1.0], [5.0, 1.0], [5.0, 3.0], [2.0, 3.0]]  # columns 2 to 5, rows 1 to 3, outline included


def shape(label: str, number: int | None, points: list[list[float]]) -> dict[str, Any]:
    return {"label": label, "group_id": number, "points": points, "shape_type": "polygon", "flags": None}


def sequence(root: Path, shapes: list[dict[str, Any]], size: tuple[int | None, int | None] = (None, None)) -> Case:
    folder = root / "test" / "VID14_t50_full"
    save(folder / "img_dir" / "t50_VID14_000007.png", np.zeros((8, 9, 3), np.uint8))
    (folder / "ann_dir").mkdir()
    document = {"shapes": shapes, "imageHeight": size[0], "imageWidth": size[1]}
    (folder / "ann_dir" / "t50_VID14_000007.json").write_text(json.dumps(document))
    return SET.read(root, "sa_sv_test")[0]


def test_the_official_splits_share_no_video() -> None:
    videos = {name: {one.partition("_")[0] for one in SPLITS[name].names} for name in ("train", "val", "test")}
    # 95 sequences of 85 videos, as the owners' table and the downloads have them.
    assert {name: len(SPLITS[name].names) for name in videos} == {"train": 55, "val": 18, "test": 22}
    assert {name: len(own) for name, own in videos.items()} == {"train": 45, "val": 18, "test": 22}
    assert len(set.union(*videos.values())) == 85
    for part in ("train", "test"):
        assert set(SPLITS[f"sa_sv_{part}"].names) == {n for n in SPLITS[part].names if n.endswith("t50_full")}


def test_an_instance_is_a_class_and_a_number(tmp_path: Path) -> None:
    apart = [[7.0, 6.0], [8.0, 6.0], [8.0, 7.0], [7.0, 7.0]]
    case = sequence(tmp_path, [shape("grasper", 2, BOX), shape("hook", 1, BOX), shape("grasper", 2, apart)])
    assert (case.name, case.group) == ("VID14_t50_full", "VID14")
    assert case.objects == {2: "grasper", MOST + 1: "hook"}
    truth = case.truth(0)
    assert truth is not None
    box = np.zeros((8, 9), np.bool_)
    box[1:4, 2:6] = True
    np.testing.assert_array_equal(truth.masks[MOST + 1], box)
    box[6:8, 7:9] = True
    np.testing.assert_array_equal(truth.masks[2], box)


def test_a_frame_without_shapes_is_annotated_and_empty(tmp_path: Path) -> None:
    truth = sequence(tmp_path, []).truth(0)
    assert truth is not None
    assert not truth.masks


@pytest.mark.parametrize(("label", "number"), [("stapler", 1), ("hook", None), ("hook", 0), ("hook", MOST + 1)])
def test_other_classes_and_numbers_are_refused(tmp_path: Path, label: str, number: int | None) -> None:
    with pytest.raises(ValueError, match=rf"t50_VID14_000007.json: '{label}' number {number} is none of grasper"):
        sequence(tmp_path, [shape(label, number, BOX)]).truth(0)


def test_a_size_that_is_stated_must_be_the_picture_s(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it is for 854 x 480 pixels, its picture has 9 x 8"):
        sequence(tmp_path, [], (480, 854)).truth(0)
