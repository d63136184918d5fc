"""Own data in two folders, images and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trocar.datasets.check import check_dataset
from trocar.datasets.fixture import made_up, save
from trocar.datasets.own_pictures import read_labels
from trocar.load import load_dataset

OWN = load_dataset("own-data")


def put(folder: Path, name: str, seed: int = 0, factor: int = 1) -> None:
    images, labels = made_up(1, (1, 2), seed=seed)
    save(folder / "images" / f"{name}.jpg", images[0])
    save(folder / "masks" / f"{name}.png", labels[0] * factor)


def test_two_folders_in_splits_are_read(tmp_path: Path) -> None:
    put(tmp_path / "train", "b10")
    put(tmp_path / "train", "b9")
    put(tmp_path / "train", "video/1")
    put(tmp_path / "train", "video/2")
    put(tmp_path / "val", "c")
    (tmp_path / "classes.json").write_text('{"1": "hook"}')
    cases = OWN.read(tmp_path, "train")
    assert [(case.name, case.frames) for case in cases] == [("b9", 1), ("b10", 1), ("video", 2)]
    assert cases[0].objects == {1: "hook", 2: "object"}
    truth = cases[2].truth(1)
    assert truth is not None
    assert set(truth.masks) == {1, 2}
    assert [case.name for case in OWN.read(tmp_path, "val")] == ["c"]
    report = check_dataset(OWN, tmp_path)
    assert [one.split for one in report.findings] == ["test"]


def test_without_splits_the_last_fifth_is_val(tmp_path: Path) -> None:
    for number in range(11):
        put(tmp_path, str(number))
    assert [case.name for case in OWN.read(tmp_path, "train")] == [str(number) for number in range(9)]
    assert [case.name for case in OWN.read(tmp_path, "val")] == ["9", "10"]
    with pytest.raises(FileNotFoundError, match="no case of split 'test'"):
        OWN.read(tmp_path, "test")


def test_a_picture_without_a_mask_is_not_annotated(tmp_path: Path) -> None:
    put(tmp_path / "train", "a")
    (tmp_path / "train/masks/a.png").unlink()
    (case,) = OWN.read(tmp_path, "train")
    assert case.annotated_frames == ()
    assert case.truth(0) is None
    assert case.objects == {}


def test_black_and_white_is_one_object_and_other_values_are_ids(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4, 2:4] = 255
    save(tmp_path / "binary.png", mask)
    assert {one: int(m.sum()) for one, m in read_labels(tmp_path / "binary.png").masks.items()} == {1: 4}
    mask[0, 0] = 7
    save(tmp_path / "ids.png", mask)
    assert sorted(read_labels(tmp_path / "ids.png").masks) == [7, 255]
    save(tmp_path / "grey.png", np.arange(96, dtype=np.uint8).reshape(8, 12))
    with pytest.raises(ValueError, match="has 95 different values"):
        read_labels(tmp_path / "grey.png")
