"""What is special to the medical sets: overlapping labels, placed label volumes, stored boxes, splits, real files."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from trocar.datasets import (
    acdc,
    btcv,
    cvpr24_2d,
    cvpr24_3d,
    cvpr24_video,
    flare22,
    lnq23,
    pendal,
    refuge,
    segrap23,
    wbc,
)
from trocar.datasets.challenge_cases import PromptedCase, modality_of, read_array, shape_of, stored_boxes
from trocar.datasets.fixture import save, save_volume
from trocar.datasets.volume_cases import kept, label_truth, volume_case
from trocar.prompts import Box, Box3d


def data(relative: str) -> Path:
    folder = Path(os.environ.get("TROCAR_DATA", "nowhere")) / relative
    if not folder.exists():
        pytest.skip(f"TROCAR_DATA does not name a folder with {relative}")
    return folder


def write_nrrd(path: Path, voxels: np.ndarray, origin: tuple[float, float, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.5, 2.0))
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))


def test_labels_of_a_part_are_placed_by_their_header(tmp_path: Path) -> None:
    write_nrrd(tmp_path / "train/lnq2023-train-0001-ct.nrrd", np.zeros((5, 12, 16), np.int16), (10, 20, 30))
    # 2 slices of 3 x 4, from slice 1, row 6, column 4 on; two segments of one class.
    part = np.zeros((2, 3, 4), np.uint8)
    part[0, 0, 0], part[1, 2, 3] = 1, 2
    write_nrrd(tmp_path / "train/lnq2023-train-0001-seg.nrrd", part, (10 + 4 * 0.5, 20 + 6 * 0.5, 30 + 1 * 2.0))
    (case,) = lnq23.DATASET.read(tmp_path, "train")
    found = {frame: [np.argwhere(mask).tolist() for mask in case.truth(frame).masks.values()] for frame in range(5)}
    assert found == {0: [], 1: [[[6, 4]]], 2: [[[8, 7]]], 3: [], 4: []}


def test_labels_between_the_voxels_are_refused(tmp_path: Path) -> None:
    write_nrrd(tmp_path / "train/lnq2023-train-0001-ct.nrrd", np.zeros((5, 12, 16), np.int16), (0, 0, 0))
    write_nrrd(tmp_path / "train/lnq2023-train-0001-seg.nrrd", np.ones((2, 3, 4), np.uint8), (0.25, 0, 0))
    (case,) = lnq23.DATASET.read(tmp_path, "train")
    with pytest.raises(ValueError, match=r"0001-seg\.nrrd has 2 slices .* how they lie on one another"):
        case.truth(0)


def test_a_label_is_a_whole_number_of_a_class(tmp_path: Path) -> None:
    path = tmp_path / "labels.nii.gz"
    with pytest.raises(ValueError, match=r"labels\.nii\.gz holds the label 3"):
        label_truth(np.array([[0, 3]]), {1: "a"}, path)
    with pytest.raises(ValueError, match="holds fractions"):
        label_truth(np.array([[0, 0.5]]), {1: "a"}, path)
    both = label_truth(np.array([[0, 1, 2, 3]]), {1: "a", 2: "b"}, path, lambda label: {3: (1, 2)}.get(label, (label,)))
    assert {number: mask.tolist() for number, mask in both.masks.items()} == {
        1: [[False, True, False, True]],
        2: [[False, False, True, True]],
    }


def test_listing_reads_a_header_and_reading_finds_the_damage(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 1000, (7, 24, 24)).astype(np.int16)
    save_volume(tmp_path / "image.nii.gz", noise)
    whole = (tmp_path / "image.nii.gz").read_bytes()
    (tmp_path / "image.nii.gz").write_bytes(whole[: len(whole) // 2])
    save_volume(tmp_path / "labels.nii.gz", np.ones((7, 24, 24), np.uint8))
    case = volume_case("one", tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz", {1: "all"})
    assert case.frames == 7
    with pytest.raises(ValueError, match=r"image\.nii\.gz is cut short"):
        case.open()
    assert volume_case("two", tmp_path / "none.nii.gz", tmp_path / "labels.nii.gz", {}).frames == 0


def test_slices_run_from_feet_to_head_however_the_file_is_written(tmp_path: Path) -> None:
    import nibabel as nib

    values, labels = np.zeros((4, 6, 3), np.int16), np.zeros((4, 6, 3), np.uint8)
    labels[1, 2, 0] = 1  # x to the left, y to the back, z from head to feet: the first voxel along z is the last slice
    affine = np.diag([-1.0, -1.0, -2.0, 1.0])
    for name, array in (("image", values), ("labels", labels)):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    case = volume_case("one", tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz", {1: "spot"})
    assert case.frames == 3
    assert [list(case.truth(frame).masks) for frame in range(3)] == [[], [], [1]]
    assert np.argwhere(case.truth(2).masks[1]).tolist() == [[2, 1]]


def test_one_thing_is_kept_open() -> None:
    read: list[str] = []

    def first() -> int:
        read.append("first")
        return 1

    def second() -> int:
        read.append("second")
        return 2

    assert [kept(first), kept(first), kept(second), kept(second), kept(first)] == [1, 1, 2, 2, 1]
    assert read == ["first", "second", "first"]


def test_published_splits() -> None:
    assert len(flare22.PARTS["train"]) == 40
    assert flare22.PARTS["test"][0] == "FLARE22_Tr_0041"
    train, test = set(btcv.PARTS["train"]), set(btcv.PARTS["test"])
    assert (len(train), len(test), train & test) == (18, 12, set())
    assert train | test == set(btcv.NAMES)
    assert "0011" not in btcv.NAMES  # 11 to 20 were never given out


def test_segrap_labels_of_overlaps_belong_to_two_organs() -> None:
    assert (len(segrap23.LABELS), len(segrap23.ORGANS)) == (54, 45)  # as the owners count them
    assert [segrap23.ORGANS[one] for one in segrap23.organs_of(6)] == ["TemporalLobe_L", "Hippocampus_L"]
    assert [segrap23.ORGANS[one] for one in segrap23.organs_of(51)] == ["Larynx", "PharynxConstr"]
    assert [segrap23.ORGANS[one] for one in segrap23.organs_of(54)] == ["Trachea"]
    assert segrap23.organs_of(55) == ()
    assert not set(segrap23.ORGANS) & set(segrap23.TUMORS)


def test_the_disc_of_refuge_holds_the_cup(tmp_path: Path) -> None:
    save(tmp_path / "label.bmp", np.array([[255, 128, 0, 128]], np.uint8))
    masks = refuge.disc_and_cup(tmp_path / "label.bmp").masks
    assert masks[1].tolist() == [[False, True, True, True]]
    assert masks[2].tolist() == [[False, False, True, False]]


def test_the_cell_holds_the_nucleus_under_both_names(tmp_path: Path) -> None:
    grey, colour = np.array([[0, 128, 255, 0]], np.uint8), np.zeros((1, 4, 3), np.uint8)
    for image, label in (
        ("Dataset 1/001.bmp", "Dataset 1/001.png"),
        ("b/dataset1/001.image.png", "b/dataset1/001.label.png"),
    ):
        save(tmp_path / image, colour)
        save(tmp_path / label, grey)
    for root in (tmp_path, tmp_path / "b"):
        (case,) = wbc.DATASET.read(root, "dataset1")
        assert case.name == "dataset1/001"
        masks = case.truth(0).masks
        assert masks[1].tolist() == [[False, False, True, False]]
        assert masks[2].tolist() == [[False, True, True, False]]


def test_the_mandible_is_what_is_not_black(tmp_path: Path) -> None:
    save(tmp_path / "Images/1.png", np.full((2, 3), 90, np.uint8))
    save(tmp_path / "Segmentation1/1.png", np.array([[0, 3, 90], [0, 0, 200]], np.uint8))
    (case,) = pendal.DATASET.read(tmp_path, "all")
    assert case.truth(0).masks[1].tolist() == [[False, True, True], [False, False, True]]


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("2DBox_MR_0133", "MR"),
        ("2DBox_X-Ray_0001", "XRay"),
        ("2DBox_CXR_0001", "XRay"),
        ("2DBox_US_0009", "US"),
        ("3DBox_CT_0002", "CT"),
    ],
)
def test_the_modality_is_in_the_name(name: str, modality: str) -> None:
    assert modality_of(name) == modality


def test_a_name_without_modality_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2Dpicture\.npz does not say its modality"):
        modality_of("2Dpicture")


def test_boxes_of_pictures_and_volumes(tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", boxes=np.array([[1, 2, 30, 40], [5, 6, 5, 9]]))
    assert stored_boxes(tmp_path / "flat.npz") == {1: Box(1, 2, 30, 40), 2: Box(5, 6, 6, 9)}
    np.savez(tmp_path / "deep.npz", boxes=np.array([[1, 2, 3, 30, 40, 10]]))
    found = stored_boxes(tmp_path / "deep.npz")
    assert found == {1: Box3d(1, 2, 3, 30, 40, 10)}
    assert isinstance(found[1], Box3d)
    assert found[1].middle == int((10 - 3) / 2 + 3)  # as the benchmark's script says it
    np.savez(tmp_path / "none.npz", imgs=np.zeros((2, 2)))
    assert stored_boxes(tmp_path / "none.npz") == {}
    np.savez(tmp_path / "odd.npz", boxes=np.zeros((2, 5)))
    with pytest.raises(ValueError, match="not rows of 4 or 6"):
        stored_boxes(tmp_path / "odd.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "flat.npz").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"cut\.npz cannot be read"):
        stored_boxes(tmp_path / "cut.npz")


def test_a_box_of_the_challenge_belongs_to_the_label_of_its_number(tmp_path: Path) -> None:
    cvpr24_2d.write_fixture(tmp_path)
    (case,) = cvpr24_2d.DATASET.read(tmp_path, "MR")
    assert isinstance(case, PromptedCase)
    masks = case.truth(0).masks
    for number, box in case.boxes().items():
        assert isinstance(box, Box)
        rows, columns = np.nonzero(masks[number])
        assert (box.x0, box.y0, box.x1, box.y1) == (columns.min(), rows.min(), columns.max(), rows.max())


def test_spacing_of_the_challenge_is_x_y_z_and_the_order_of_slices_is_kept(tmp_path: Path) -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 6, 8), np.uint8)
    (tmp_path / "imgs").mkdir()  # a training file: everything in one
    arrays = {"imgs": images, "gts": (images == 2).astype(np.uint8), "spacing": np.array([0.5, 0.7, 3.0])}
    np.savez(tmp_path / "imgs/3DBox_MR_0001.npz", **arrays)
    (case,) = cvpr24_3d.DATASET.read(tmp_path, "MR")
    source = case.open()
    assert source.geometry.spacing_mm == pytest.approx((3.0, 0.7, 0.5))
    assert [int(source[frame].image.max()) for frame in range(case.frames)] == [0, 1, 2, 3]
    assert [frame for frame in range(4) if case.truth(frame).masks] == [2]
    assert isinstance(case, PromptedCase)
    assert case.boxes() == {}


def test_a_255_anywhere_makes_one_polyp(tmp_path: Path) -> None:
    cvpr24_video.write_fixture(tmp_path)
    path = tmp_path / cvpr24_video.POLYPS / "gts/case1_1.npz"
    truth = np.zeros((4, 48, 64), np.uint8)
    truth[0, 0, 0], truth[1, 0, 0] = 7, 255
    np.savez(path, gts=truth)
    (case,) = cvpr24_video.DATASET.read(tmp_path, "Endoscopy")
    assert [list(case.truth(frame).masks) for frame in range(4)] == [[1], [1], [], []]


def test_acdc_reads_as_the_files_say() -> None:
    folder = data("acdc")
    cases = acdc.DATASET.read(folder, "all")
    assert len(cases) == 20  # patients 1 to 10, two volumes each
    assert len({case.group for case in cases}) == 10
    case = cases[0]
    with h5py.File(folder / f"{case.name}.h5") as file:
        labels = file["label"][()]
    assert case.frames == len(labels)
    for frame in range(case.frames):
        masks = case.truth(frame).masks
        assert set(masks) == set(np.unique(labels[frame])) - {0}
        assert all(np.array_equal(mask, labels[frame] == number) for number, mask in masks.items())


def test_white_blood_cells_read_as_the_files_say() -> None:
    cases = wbc.DATASET.read(data("wbc"), "dataset1")
    assert len(cases) == 300
    for case in cases[::60]:
        number = case.name.rpartition("/")[2]
        grey = np.asarray(Image.open(data("wbc/dataset1") / f"{number}.label.png"))
        masks = case.truth(0).masks
        assert np.array_equal(masks[1], grey == 255)
        assert np.array_equal(masks[2], grey > 0)
        assert case.open()[0].image.shape == (*grey.shape, 3)


def test_shapes_are_read_from_the_header_of_a_published_file() -> None:
    path = next(data("formats/npz").glob("*.npz"))
    assert shape_of(path, "gts") == read_array(path, "gts").shape == (16, 512, 512)
    assert shape_of(path, "nothing") == ()
