"""COCO documents as cases: outlines, run-length codes, crowds, and the numbers that instances get."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trocar.datasets.case import Case
from trocar.datasets.coco_cases import coco_case, read_coco_pictures
from trocar.datasets.fixture import save
from trocar.load import load_dataset

HOOK, GRASPER = 1, 2
SQUARE = [[1, 1, 4, 1, 4, 3, 1, 3]]  # corners lie between pixels: columns 1 to 3, rows 1 and 2


def written(root: Path, *pictures: list[dict[str, Any]], size: tuple[int, int] = (4, 6)) -> Path:
    images, annotations = [], []
    for number, own in enumerate(pictures):
        save(root / f"{number}.png", np.zeros((4, 6, 3), np.uint8))
        images.append({"id": 100 + number, "file_name": f"{number}.png", "height": size[0], "width": size[1]})
        annotations += [one | {"id": len(annotations) + k, "image_id": 100 + number} for k, one in enumerate(own)]
    path = root / "document.json"
    categories = [{"id": HOOK, "name": "L_hook"}, {"id": GRASPER, "name": "grasper"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def case_of(path: Path, crowds: bool = False) -> Case:
    return coco_case("case", read_coco_pictures(path, crowds), path.parent)


def said(category: int, segmentation: Any = SQUARE, crowd: int = 0) -> dict[str, Any]:
    return {"category_id": category, "segmentation": segmentation, "iscrowd": crowd}


def test_outlines_may_overlap_and_codes_run_down_the_columns(tmp_path: Path) -> None:
    code = {"size": [4, 6], "counts": [4, 2, 18]}  # four pixels are the first column
    case = case_of(written(tmp_path, [said(HOOK), said(GRASPER, [[0, 0, 2, 0, 2, 4, 0, 4]]), said(GRASPER, code)]))
    truth = case.truth(0)
    assert truth is not None
    assert truth.ignore is None
    square, strip, piece = (np.zeros((4, 6), np.bool_) for _ in range(3))
    square[1:3, 1:4], strip[:, :2], piece[:2, 1] = True, True, True
    assert case.objects == {1: "L hook", 2: "grasper", 3: "grasper"}
    for number, mask in enumerate((square, strip, piece), start=1):
        np.testing.assert_array_equal(truth.masks[number], mask)


def test_a_number_has_one_class_throughout_a_case(tmp_path: Path) -> None:
    case = case_of(written(tmp_path, [said(HOOK)], [said(GRASPER), said(GRASPER), said(HOOK)], []))
    assert case.objects == {1: "L hook", 2: "grasper", 3: "grasper"}
    truths = [case.truth(frame) for frame in range(3)]
    assert [sorted(truth.masks) for truth in truths if truth] == [[1], [1, 2, 3], []]


def test_crowds_are_ignored_where_that_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path, [said(HOOK, crowd=1)])
    truth = case_of(path, crowds=True).truth(0)
    assert truth is not None
    assert truth.ignore is not None
    assert (not truth.masks, int(truth.ignore.sum())) == (True, 6)
    assert case_of(path).objects == {1: "L hook"}


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"document.json has 0.png as 7 x 5 pixels, the file has 6 x 4"):
        case_of(written(tmp_path, [said(HOOK)], size=(5, 7))).truth(0)
    with pytest.raises(ValueError, match=r"document.json: something on 0.png has a box alone"):
        case_of(written(tmp_path, [said(HOOK, [])])).truth(0)
    with pytest.raises(ValueError, match=r"document.json is damaged or no COCO"):
        case_of(written(tmp_path, [said(7)]))


def test_endoscapes_has_void_pixels_in_its_semantic_maps(tmp_path: Path) -> None:
    endoscapes = load_dataset("endoscapes")
    endoscapes.write_fixture(tmp_path)
    cases = endoscapes.read(tmp_path, "train")
    assert [case.name for case in cases] == ["4_9500", "4_10250", "119_9500", "119_10250"]
    assert [case.group for case in cases] == ["video 4", "video 4", "video 119", "video 119"]
    truth = cases[0].truth(0)
    assert truth is not None
    assert truth.ignore is not None
    rows, columns = np.nonzero(truth.ignore)
    assert (set(rows.tolist()), set(columns.tolist())) == ({0}, {0, 1, 2, 3})


def test_grasp_has_an_operation_a_case(tmp_path: Path) -> None:
    grasp = load_dataset("grasp")
    grasp.write_fixture(tmp_path)
    assert [case.name for case in grasp.read(tmp_path, "test")] == list(grasp.splits["test"].names)
    folds = [{case.group for case in grasp.read(tmp_path, split)} for split in ("train", "test", "fold1", "fold2")]
    assert not folds[0] & folds[1]
    assert not folds[2] & folds[3]
    assert folds[2] | folds[3] == folds[0]
