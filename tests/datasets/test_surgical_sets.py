"""What is special to a surgical set: its numbers, its folders, its borders. Truths are worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.datasets import autolaparo, cholecseg8k, cvc_clinicdb, dsad, endovis17, endovis18, polypgen, sar_rarp50
from trocar.datasets.endovis18_instruments import SEQUENCES
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import matched
from trocar.load import load_dataset


def save(path: Path, pixels: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def test_frames_and_labels_are_matched_by_what_their_names_share(tmp_path: Path) -> None:
    for name in ("dv1_10.png", "dv1_10_seg.png", "dv1_9.png", "dv1_11_seg.png"):
        save(tmp_path / name, [[0]])
    images, labels = matched(tmp_path / "*.png", tmp_path / "*_seg.png")
    assert [path.name for path in images] == ["dv1_9.png", "dv1_10.png", "dv1_11.png"], "a missing frame is named too"
    assert [path.name for path in labels] == ["dv1_9_seg.png", "dv1_10_seg.png", "dv1_11_seg.png"]


def test_the_nearest_grey_value_is_by_value(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", [[40, 60, 255]])
    assert Palette({0: 0, 100: 1}, nearest=True).read(path).masks[1].tolist() == [[False, True, True]]


def test_cholecseg8k_has_the_annotation_tools_values_and_ignores_what_nobody_labelled(tmp_path: Path) -> None:
    grey = np.array([[21, 5, 50], [255, 0, 33]])
    four = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    truth = cholecseg8k.PALETTE.read(save(tmp_path / "a.png", four))
    found = {cholecseg8k.CLASSES[number]: np.argwhere(mask).tolist() for number, mask in truth.masks.items()}
    assert found == {"liver": [[0, 0]], "liver ligament": [[0, 1]], "hepatic vein": [[1, 2]]}
    assert truth.ignore is not None
    assert truth.ignore.tolist() == [[False, False, False], [True, True, False]]


def test_clinicdb_frames_are_numbered_through_29_sequences(tmp_path: Path) -> None:
    assert (len(cvc_clinicdb.ENDS), cvc_clinicdb.ENDS[-1]) == (29, 612)
    assert sorted(cvc_clinicdb.ENDS) == list(cvc_clinicdb.ENDS)
    dataset = load_dataset("cvc-clinicdb")
    dataset.write_fixture(tmp_path)
    frames = {case.name: case.frames for case in dataset.read(tmp_path, "train")}
    assert frames == {"sequence01": 4, "sequence02": 1, "sequence29": 1}, "1, 2, 10 and 25; 26; 612"


def test_autolaparo_splits_by_clip_and_refuses_values_between(tmp_path: Path) -> None:
    assert [len(clips) for clips in autolaparo.CLIPS.values()] == [170, 57, 73]
    truth = autolaparo.PALETTE.read(save(tmp_path / "a.png", [[0, 20, 80, 180]]))
    assert [autolaparo.CLASSES[number] for number in truth.masks] == [
        "grasping forceps manipulator",
        "ligasure shaft",
        "uterus",
    ]
    with pytest.raises(ValueError, match="the label 90"):
        autolaparo.PALETTE.read(save(tmp_path / "b.png", [[90]]))


def test_endovis17_reads_the_cameras_part_and_joins_instruments_of_a_type(tmp_path: Path) -> None:
    place = tmp_path / "instrument_1_4_training" / "instrument_dataset_2"
    frame, left, right = (np.zeros((1080, 1920), np.uint8) for _ in range(3))
    frame[28, 320], frame[1051, 1599], left[28, 320], left[27, 320], right[1051, 1599] = 200, 100, 10, 10, 30
    save(place / "left_frames" / "frame000.png", frame)
    save(place / "ground_truth" / "Left_Prograsp_Forceps_labels" / "frame000.png", left)
    save(place / "ground_truth" / "Prograsp_Forceps_Right_labels" / "frame000.png", right)
    (case,) = load_dataset("endovis17").read(tmp_path, "fold1")
    image, truth = case.open()[0].image, case.truth(0)
    assert image.shape == (1024, 1280, 3)
    assert case.open().geometry.size == (1024, 1280)
    assert (image[0, 0, 0], image[-1, -1, 0]) == (200, 100)
    assert truth is not None
    assert np.argwhere(truth.masks[2]).tolist() == [[0, 0], [1023, 1279]]
    (place / "ground_truth" / "Scalpel_labels").mkdir()
    with pytest.raises(ValueError, match="Scalpel_labels is of no known instrument"):
        load_dataset("endovis17").read(tmp_path, "train")


def test_endovis17_folds_hold_out_every_procedure_once() -> None:
    held = [name for number in range(4) for name in endovis17.SPLITS[f"fold{number}"].names]
    assert sorted(held) == list(endovis17.SPLITS["train"].names)
    for number in range(4):
        fold, rest = endovis17.SPLITS[f"fold{number}"].names, endovis17.SPLITS[f"fold{number}_train"].names
        assert sorted((*fold, *rest)) == sorted(held)


def test_endovis18_scenes_and_instruments_are_split_alike(tmp_path: Path) -> None:
    for split, numbers in SEQUENCES.items():
        assert endovis18.SPLITS[split].names == tuple(f"seq_{number}" for number in numbers)
    colours = [[[255, 55, 0], [124, 155, 5], [0, 0, 0]]]
    truth = endovis18.PALETTE.read(save(tmp_path / "a.png", colours))
    assert [endovis18.CLASSES[number] for number in truth.masks] == ["kidney parenchyma", "small intestine"]


def test_dsad_labels_one_organ_a_case_and_all_in_multilabel(tmp_path: Path) -> None:
    assert [len(own) for own in dsad.SURGERIES.values()] == [21, 3, 8]
    dataset = load_dataset("dsad")
    dataset.write_fixture(tmp_path)
    cases = {case.name: case for case in dataset.read(tmp_path, "val")}
    assert {name: set(case.objects) for name, case in cases.items()} == {
        "colon/03": {2},
        "stomach/03": {9},
        "multilabel/03": set(dsad.CLASSES),
    }
    truth = cases["multilabel/03"].truth(0)
    assert truth is not None
    assert {dsad.CLASSES[number] for number in truth.masks} == {"liver", "stomach"}
    for path in (tmp_path / "multilabel" / "03").glob("mask00_*.png"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="holds no mask00_ORGAN"):
        cases["multilabel/03"].truth(0)


def test_polypgen_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "sequenceData" / "positive" / "seq3"
    for number in (10, 9, 100):
        save(folder / "images_seq3" / f"seq3_C6_{number}.jpg", np.full((16, 16, 3), number))
        save(folder / "masks_seq3" / f"seq3_C6_{number}_mask.jpg", np.full((16, 16), 250 if number == 10 else 3))
    (case,) = polypgen.cases(tmp_path, "test")
    truths = [case.truth(frame) for frame in range(3)]
    assert [bool(truth and truth.masks) for truth in truths] == [False, True, False]
    assert [round(float(case.open()[frame].image.mean())) for frame in range(3)] == [9, 10, 100]


def test_a_label_of_sar_rarp50_belongs_to_the_frame_of_its_number(tmp_path: Path) -> None:
    sar_rarp50.write_fixture(tmp_path)
    train = load_dataset("sar-rarp50").read(tmp_path, "train")
    assert [(case.name, case.group) for case in train] == [
        ("video_01", "video_01"),
        ("video_11_1", "video_11"),
        ("video_11_2", "video_11"),
    ]
    source = train[0].open()
    assert [source[index].index for index in range(3)] == [0, 1, 2]
    assert [source[index].time_s for index in range(3)] == pytest.approx([0, 1, 2]), "60 frames a second"
    labels = tmp_path / "train1" / "video_01" / "segmentation"
    (labels / "000000060.png").rename(labels / "000000180.png")
    (again,) = (case for case in sar_rarp50.cases(tmp_path, "train") if case.name == "video_01")
    with pytest.raises(ValueError, match="has 121 frames and frame 180 is labelled"):
        again.open()
