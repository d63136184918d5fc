"""The readers of data on disk: on small made-up files, and on the data itself where TROCAR_DATA names it."""

import os

import numpy as np
import pytest
from PIL import Image

from trocar.datasets import DATASETS, Clip, vocalfolds
from trocar.datasets.instances import clips as nuclei
from trocar.datasets.instances import crops

needs_data = pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA does not name the data folder")


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_a_sequence_comes_in_the_order_of_its_numbers(tmp_path):
    for sequence in vocalfolds.SPLITS["train"]:
        for grey, number in enumerate(("0002", "0010", "0100")):
            write(tmp_path / f"vocalfolds/images/{sequence}/{number}.jpg", np.full((8, 8, 3), 100 * grey, np.uint8))
            labels = np.uint8([[0, 5], [grey + 1, 5]]).repeat(4, 0).repeat(4, 1)
            write(tmp_path / f"vocalfolds/labels/{sequence}/{number}.png", labels)
    read = list(DATASETS["vocalfolds"]("train", tmp_path))
    assert [clip.name for clip in read] == [f"vocalfolds/patient2/seq{number}" for number in (5, 7, 8)]
    clip = read[0]
    assert [round(float(image.mean()), -1) for image in clip.images] == [0, 100, 200]
    assert clip.classes == {1: "vocal folds", 2: "other tissue", 3: "glottal space", 5: "surgical tool"}
    assert (clip.ignore == (clip.labels == 0)).all()
    assert clip.labels[2, 7, 0] == 3


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_names_what_it_misses(name, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=f"{name} has no split 'other': choose from train"):
        DATASETS[name]("other", tmp_path)
    with pytest.raises(FileNotFoundError, match="is missing: set TROCAR_DATA"):
        DATASETS[name]("train", tmp_path)
    monkeypatch.delenv("TROCAR_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no data folder: set TROCAR_DATA"):
        DATASETS[name]("train", None)


def test_missing_and_unknown_labels_are_named(tmp_path):
    write(tmp_path / "vocalfolds/images/patient2/seq6/0001.jpg", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(FileNotFoundError, match=r"0001\.png is missing"):
        list(DATASETS["vocalfolds"]("tune", tmp_path))
    write(tmp_path / "vocalfolds/labels/patient2/seq6/0001.png", np.full((8, 8), 9, np.uint8))
    with pytest.raises(ValueError, match=r"labels \[9\]: expected 0 to 6"):
        list(DATASETS["vocalfolds"]("tune", tmp_path))


def test_frames_of_different_sizes_are_refused(tmp_path):
    for number, side in (("0001", 8), ("0002", 16)):
        write(tmp_path / f"vocalfolds/images/patient2/seq6/{number}.jpg", np.zeros((side, side, 3), np.uint8))
        write(tmp_path / f"vocalfolds/labels/patient2/seq6/{number}.png", np.zeros((side, side), np.uint8))
    with pytest.raises(ValueError, match=r"0002\.jpg has 16 x 16 pixels and 0001\.jpg 8 x 8"):
        list(DATASETS["vocalfolds"]("tune", tmp_path))


def test_nuclei_are_cut_into_crops_and_keep_their_ids(tmp_path):
    folder = tmp_path / "formats" / "instances"
    image = np.arange(512 * 600, dtype=np.uint16).reshape(512, 600) % 4000
    ids = np.zeros((512, 600), np.uint16)
    ids[10:20, 10:20], ids[250:262, 300:310] = 7, 9  # the second lies in two crops
    write(folder / "img2d.tif", image)
    write(folder / "mask2d.tif", ids)
    write(folder / "img3d.tif", image[:40, :50])
    write(folder / "mask3d.tif", ids[:40, :50])
    read = list(DATASETS["nuclei"]("train", tmp_path))
    assert [clip.name for clip in read] == [f"nuclei/2d/{at}" for at in ("0-0", "0-256", "256-0", "256-256")] + [
        "nuclei/3d"
    ]
    assert [set(clip.classes) for clip in read] == [{7}, {9}, set(), {9}, {7}]
    assert (read[0].labels[0] == ids[:256, :256]).all()
    assert read[0].images.min() == 0
    assert read[0].images.max() == 255


def test_crops_leave_out_what_does_not_fill_one():
    clip = Clip("c", np.zeros((2, 5, 9, 3), np.uint8), np.ones((2, 5, 9), np.uint8), {1: "cell"})
    assert [part.labels.shape for part in crops(clip, 4)] == [(2, 4, 4), (2, 4, 4)]


def test_a_clip_lies_on_one_grid():
    images, labels = np.zeros((2, 4, 5, 3), np.uint8), np.zeros((2, 4, 5), np.uint8)
    with pytest.raises(ValueError, match="clip c"):
        Clip("c", images, labels[:1], {})
    with pytest.raises(ValueError, match="ignore"):
        Clip("c", images, labels, {}, ignore=np.zeros((4, 5), np.bool_))


@needs_data
def test_the_nuclei_themselves():
    read = list(nuclei("train"))
    assert [clip.labels.shape for clip in read] == [(1, 256, 256)] * 4 + [(31, 61, 57)]
    assert len({number for clip in read[:4] for number in clip.classes}) == 125


@needs_data
def test_the_vocal_folds_themselves():
    (tune,) = DATASETS["vocalfolds"]("tune", None)
    assert tune.images.shape == (44, 512, 512, 3)
    # The data's own README: patient 2 before the operation, with instruments and a tube, and no pathology.
    assert set(tune.classes) == {1, 2, 3, 5, 6}


def test_splits_share_no_patient_and_no_sequence():
    sequences = [sequence for split in vocalfolds.SPLITS.values() for sequence in split]
    assert len(sequences) == len(set(sequences)) == 8
    assert {sequence.split("/")[0] for sequence in vocalfolds.SPLITS["held_out"]} == {"patient1"}
    assert {s.split("/")[0] for split in ("train", "tune") for s in vocalfolds.SPLITS[split]} == {"patient2"}
