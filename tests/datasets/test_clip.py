"""Cases in memory, the two sets that nano learns from, and where data lie."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.datasets import Case, Clip, FrameTruth, read_clip
from trocar.datasets.location import locate
from trocar.frames import ArraySource
from trocar.load import load_dataset

needs_data = pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA does not name the data folder")


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def clips(name: str, split: str, root: Path | None = None) -> list[Clip]:
    dataset = load_dataset(name)
    return [read_clip(case) for case in dataset.read(locate(dataset.folder, root), split)]


def case_of(truths: list[FrameTruth | None], objects: dict[int, str]) -> Case:
    source = ArraySource(np.zeros((len(truths), 2, 3, 3), np.uint8))
    annotated = tuple(frame for frame, truth in enumerate(truths) if truth is not None)
    return Case("made", len(truths), lambda: source, lambda frame: truths[frame], objects, annotated)


def test_a_sequence_comes_in_the_order_of_its_numbers(tmp_path):
    for sequence in load_dataset("vocalfolds").splits["train"].names:
        for grey, number in enumerate(("0002", "0010", "0100")):
            write(tmp_path / f"vocalfolds/images/{sequence}/{number}.jpg", np.full((8, 8, 3), 100 * grey, np.uint8))
            labels = np.uint8([[0, 5], [grey + 1, 5]]).repeat(4, 0).repeat(4, 1)
            write(tmp_path / f"vocalfolds/labels/{sequence}/{number}.png", labels)
    read = clips("vocalfolds", "train", tmp_path)
    assert [clip.name for clip in read] == [f"patient2/seq{number}" for number in (5, 7, 8)]
    clip = read[0]
    assert [round(float(image.mean()), -1) for image in clip.images] == [0, 100, 200]
    assert clip.classes == {1: "vocal folds", 2: "other tissue", 3: "glottal space", 5: "surgical tool"}
    assert (clip.ignore == (clip.labels == 0)).all()
    assert clip.labels[2, 7, 0] == 3


def test_missing_and_unknown_labels_are_named(tmp_path):
    folder = tmp_path / "vocalfolds"
    write(folder / "images/patient2/seq6/0001.jpg", np.zeros((8, 8, 3), np.uint8))
    write(folder / "images/patient2/seq6/0002.jpg", np.zeros((8, 8, 3), np.uint8))
    write(folder / "labels/patient2/seq6/0002.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(FileNotFoundError, match=r"0001\.png is missing"):
        clips("vocalfolds", "tune", tmp_path)
    write(folder / "labels/patient2/seq6/0001.png", np.full((8, 8), 9, np.uint8))
    with pytest.raises(ValueError, match=r"0001\.png holds the label 9"):
        clips("vocalfolds", "tune", tmp_path)


def test_frames_of_different_sizes_are_refused(tmp_path):
    for number, side in (("0001", 8), ("0002", 16)):
        write(tmp_path / f"vocalfolds/images/patient2/seq6/{number}.jpg", np.zeros((side, side, 3), np.uint8))
        write(tmp_path / f"vocalfolds/labels/patient2/seq6/{number}.png", np.zeros((side, side), np.uint8))
    with pytest.raises(ValueError, match=r"0001\.jpg is 8x8 pixels but 0002\.jpg is 16x16"):
        clips("vocalfolds", "tune", tmp_path)


def test_nuclei_are_cut_into_crops_and_keep_their_ids(tmp_path):
    folder = tmp_path / "formats" / "instances"
    image = np.arange(512 * 600, dtype=np.uint16).reshape(512, 600) % 4000
    ids = np.zeros((512, 600), np.uint16)
    ids[10:20, 10:20], ids[250:262, 300:310] = 7, 9  # the second lies in two crops
    write(folder / "img2d.tif", image)
    write(folder / "mask2d.tif", ids)
    write(folder / "img3d.tif", image[:40, :50])
    write(folder / "mask3d.tif", ids[:40, :50])
    read = clips("nuclei", "train", tmp_path)
    assert [clip.name for clip in read] == [f"2d/{at}" for at in ("0-0", "0-256", "256-0", "256-256")] + ["3d"]
    assert [set(clip.classes) for clip in read] == [{7}, {9}, set(), {9}, {7}]
    assert (read[0].labels[0] == ids[:256, :256]).all()
    assert read[0].images.min() == 0
    assert read[0].images.max() == 255


def test_a_clip_has_the_annotated_frames_only_and_the_higher_id_on_top():
    low, high = np.array([[1, 1, 0], [0, 0, 0]], bool), np.array([[0, 1, 1], [0, 0, 0]], bool)
    clip = read_clip(case_of([None, FrameTruth({2: low, 5: high}, ~(low | high))], {2: "a", 5: "b", 7: "c"}))
    assert clip.labels.tolist() == [[[2, 5, 5], [0, 0, 0]]]
    assert clip.classes == {2: "a", 5: "b"}
    assert clip.ignore is not None
    assert (clip.ignore == (clip.labels == 0)).all()


def test_an_id_that_a_clip_cannot_hold_is_named():
    with pytest.raises(ValueError, match="made has the object 256"):
        read_clip(case_of([FrameTruth({256: np.ones((2, 3), bool)})], {256: "a"}))


def test_a_clip_lies_on_one_grid():
    images, labels = np.zeros((2, 4, 5, 3), np.uint8), np.zeros((2, 4, 5), np.uint8)
    with pytest.raises(ValueError, match="clip c"):
        Clip("c", images, labels[:1], {})
    with pytest.raises(ValueError, match="ignore"):
        Clip("c", images, labels, {}, ignore=np.zeros((4, 5), np.bool_))


def test_where_data_lie_is_said(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="is missing: set TROCAR_DATA"):
        locate("vocalfolds", tmp_path)
    monkeypatch.delenv("TROCAR_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no data folder: set TROCAR_DATA"):
        locate("vocalfolds")


@needs_data
def test_the_nuclei_themselves():
    read = clips("nuclei", "train")
    assert [clip.labels.shape for clip in read] == [(1, 256, 256)] * 4 + [(31, 61, 57)]
    assert len({number for clip in read[:4] for number in clip.classes}) == 125


@needs_data
def test_the_vocal_folds_themselves():
    (tune,) = clips("vocalfolds", "tune")
    assert tune.images.shape == (44, 512, 512, 3)
    # The data's own README: patient 2 before the operation, with instruments and a tube, and no pathology.
    assert set(tune.classes) == {1, 2, 3, 5, 6}


def test_the_held_out_patient_is_in_no_other_split():
    splits = load_dataset("vocalfolds").splits
    sequences = [sequence for split in splits.values() for sequence in split.names]
    assert len(sequences) == len(set(sequences)) == 8
    assert {sequence.split("/")[0] for sequence in splits["held_out"].names} == {"patient1"}
    assert {s.split("/")[0] for split in ("train", "tune") for s in splits[split].names} == {"patient2"}
