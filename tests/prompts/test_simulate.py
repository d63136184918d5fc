"""Simulated prompts against released code (tests/golden/metrics/README.md), and their properties."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trocar.prompts import (
    Box,
    Box3d,
    Point,
    center_click,
    center_click3d,
    jittered_box,
    middle_slice_box,
    outset_box,
    tight_box,
    uniform_click,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
CASES = json.loads((GOLDEN / "clicks2d.json").read_text())
VOLUMES = json.loads((GOLDEN / "interactive3d.json").read_text())
DRAWN = json.loads((GOLDEN / "medsam2_eval_seg.json").read_text())
MASKS = arrays(np.bool_, (9, 12))
SOLIDS = arrays(np.bool_, (4, 5, 6))


@pytest.fixture(scope="module")
def arrays2d():
    return {name: array.astype(bool) for name, array in np.load(GOLDEN / "clicks2d.npz").items()}


@pytest.mark.parametrize("case", CASES["single"], ids=lambda case: f"{case['id']}-{case['name']}")
def test_one_click(case, arrays2d):
    truth, prediction = arrays2d[f"{case['id']}_gt"], arrays2d.get(f"{case['id']}_pred")
    expected = case["expected"]
    click = center_click(truth, prediction)
    if (truth == (False if prediction is None else prediction)).all():
        assert click is None  # the release clicks on (0, 0) there; callers are to stop
    else:
        assert click == Point(*expected["center_xy"], expected["label"] == 1)
    x0, y0, x1, y1 = expected["mask_to_box_xyxy"]
    if x1 > x0 and y1 > y0:
        assert tight_box(truth) == Box(x0, y0, x1, y1)


@pytest.mark.parametrize("case", CASES["toy_loops"], ids=lambda case: case["id"])
def test_five_clicks(case, arrays2d):
    truth = arrays2d[f"{case['id']}_gt"]
    rows, columns = np.indices(truth.shape)
    prediction = None
    for (x, y, label), expected_iou in zip(case["clicks_xyl"], case["iou_after_each"], strict=True):
        click = center_click(truth, prediction)
        assert click == Point(x, y, label == 1)
        near = (columns - x) ** 2 + (rows - y) ** 2 <= case["radius"] ** 2
        painted = np.zeros_like(truth) if prediction is None else prediction
        prediction = painted | near if click.positive else painted & ~near
        assert (truth & prediction).sum() / (truth | prediction).sum() == pytest.approx(expected_iou)
    assert (prediction == arrays2d[f"{case['id']}_final_pred"]).all()


@given(MASKS, MASKS, st.integers(0, 2**32))
def test_a_click_lies_on_an_error_and_says_which(truth, prediction, seed):
    for click in (center_click(truth, prediction), uniform_click(truth, prediction, np.random.default_rng(seed))):
        if click is None:
            assert (truth == prediction).all()
        else:
            x, y = int(click.x), int(click.y)
            assert truth[y, x] != prediction[y, x]
            assert click.positive == truth[y, x]


def test_uniform_clicks_reach_every_error_equally_often():
    truth, prediction = np.zeros((2, 2, 4), np.bool_)
    truth[0, :2], prediction[1, 2:] = True, True
    rng = np.random.default_rng(0)
    clicks = [uniform_click(truth, prediction, rng) for _ in range(2000)]
    counts = {place: clicks.count(place) for place in set(clicks)}
    assert set(counts) == {Point(0, 0, True), Point(1, 0, True), Point(2, 1, False), Point(3, 1, False)}
    assert min(counts.values()) > 430  # 500 expected each; 430 is 3.6 standard deviations off


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="differ in size"):
        center_click(np.ones((2, 2), np.bool_), np.ones((2, 3), np.bool_))


def test_thin_masks_have_a_box_and_empty_ones_none():
    mask = np.zeros((5, 6), np.bool_)
    with pytest.raises(ValueError, match="empty"):
        tight_box(mask)
    mask[2, 1:4] = True
    assert tight_box(mask) == Box(1, 2, 3, 3)


@given(MASKS.filter(np.any), st.integers(0, 2**32), st.floats(0, 0.45), st.floats(0, 3))
def test_a_jittered_box_stays_near_and_inside(mask, seed, fraction, limit):
    tight = tight_box(mask)
    box = jittered_box(mask, np.random.default_rng(seed), fraction, limit)
    width, height = tight.x1 - tight.x0, tight.y1 - tight.y0
    assert 0 <= box.x0 < box.x1 <= 12
    assert 0 <= box.y0 < box.y1 <= 9
    for side, moved in (("x", min(fraction * width, limit)), ("y", min(fraction * height, limit))):
        for corner in (f"{side}0", f"{side}1"):
            assert abs(getattr(box, corner) - getattr(tight, corner)) <= moved + 1e-9


def test_no_jitter_gives_the_tight_box():
    mask = np.zeros((40, 50), np.bool_)
    mask[5:20, 10:30] = True
    assert jittered_box(mask, np.random.default_rng(0), fraction=0) == tight_box(mask) == Box(10, 5, 29, 19)


def test_a_jittered_box_stays_on_pixels_of_the_image():
    mask = np.zeros((40, 50), np.bool_)
    mask[10:40, 20:50] = True
    boxes = [jittered_box(mask, np.random.default_rng(seed)) for seed in range(50)]
    assert max(box.x1 for box in boxes) == 49  # the last pixel, as in SAM 2's release
    assert max(box.y1 for box in boxes) == 39


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case["id"])
def test_medsam2_draws_a_pixel_of_the_object(case):
    truth = np.load(GOLDEN / "medsam2_eval_seg.npz")[f"{case['id']}_gt"].astype(bool)
    label, (x, y) = case["random_click_seed3"]
    click = uniform_click(truth, None, random.Random(3))  # that release draws from Python's generator
    if label:
        assert click == Point(x, y)
        assert tight_box(truth) == Box(*case["bbox_xyxy"])
    else:
        assert click is None  # the release clicks on the background there, as if it were negative


@pytest.fixture(scope="module")
def volumes():
    return np.load(GOLDEN / "interactive3d.npz")


@pytest.mark.parametrize("case", VOLUMES["next_click"], ids=lambda case: f"{case['id']}-{case['name']}")
def test_next_click_in_a_volume(case, volumes):
    truth, prediction = volumes[f"{case['id']}_gt"], volumes[f"{case['id']}_pred"]
    for number, expected in zip(case["classes"], case["next_click_per_class_zyx"], strict=True):
        click = center_click3d(truth == number, prediction == number)
        if expected is None:
            assert click is None
        else:
            (z, y, x), kind = expected
            assert click == (z, Point(x, y, kind == "fg"))


@given(SOLIDS, SOLIDS, st.integers(0, 2**32 - 1), st.sampled_from([10**6, 1]))
def test_a_click_in_a_volume_lies_on_an_error_and_says_which(truth, prediction, seed, largest_roi):
    click = center_click3d(truth, prediction, seed, largest_roi)
    assert click == center_click3d(truth, prediction, seed, largest_roi)
    if click is None:
        assert (truth == prediction).all()
    else:
        z, point = click
        assert truth[z, int(point.y), int(point.x)] != prediction[z, int(point.y), int(point.x)]
        assert point.positive == truth[z, int(point.y), int(point.x)]


def test_the_larger_piece_is_clicked_and_the_volumes_border_ends_it():
    truth = np.zeros((5, 9, 20), np.bool_)
    truth[:, :5, :5] = True  # its middle is (2, 2, 2) with the border outside it
    truth[1:4, 2:5, 10:13] = True
    assert center_click3d(truth) == (2, Point(2, 2))
    assert center_click3d(truth[:, :, 9:]) == (2, Point(2, 3))


@pytest.mark.parametrize("case", [case for case in VOLUMES["boxes"] if "fixed_shift0" in case], ids=lambda c: c["id"])
def test_boxes_moved_outwards(case, volumes):
    mask = volumes[f"{case['id']}_gt"] > 0
    shift = int(np.random.RandomState(case["numpy_seed"]).randint(0, 6))
    assert outset_box(mask, shift) == Box(*case["cvpr25_mask2D_to_bbox"])
    assert outset_box(mask, 5, per_side=None) == Box(*case["fixed_shift5_get_bbox256"])
    assert outset_box(mask, 0) == tight_box(mask) == Box(*case["fixed_shift0"])


def test_box_of_a_volume(volumes):
    case = VOLUMES["boxes"][-1]
    expected = case["cvpr25_mask3D_to_bbox"]
    shift = int(np.random.RandomState(case["numpy_seed"]).randint(0, 6))
    middle, box = middle_slice_box(volumes[case["id"]] == case["class"], shift)
    assert middle == expected["z_mid"]
    corners = [
        expected[name] for name in ("z_mid_x_min", "z_mid_y_min", "z_min", "z_mid_x_max", "z_mid_y_max", "z_max")
    ]
    assert box == Box3d(*corners)
    with pytest.raises(ValueError, match="empty"):
        middle_slice_box(np.zeros((2, 3, 4), np.bool_), 0)
