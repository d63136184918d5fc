import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trocar.metrics import SA_V, SequenceRules, boundary_f, dice, iou, j_and_f

MASKS = arrays(np.bool_, (7, 9))
EMPTY, FULL = np.zeros((4, 5), np.bool_), np.ones((4, 5), np.bool_)
HALF = FULL.copy()
HALF[:, 2:] = False  # 8 of 20 pixels


def test_values_by_hand():
    assert iou(HALF, FULL).value == 8 / 20
    assert dice(HALF, FULL).value == 16 / 28


def test_empty_masks_say_so():
    assert iou(EMPTY, EMPTY).value == 1
    assert iou(EMPTY, EMPTY, both_empty=0).value == 0
    assert math.isnan(dice(EMPTY, EMPTY).value)
    for score in (iou, dice, boundary_f):
        assert score(EMPTY, EMPTY).status == "both_empty"
        assert (score(EMPTY, HALF).value, score(EMPTY, HALF).status) == (0, "pred_empty")
        assert (score(HALF, EMPTY).value, score(HALF, EMPTY).status) == (0, "gt_empty")
        assert score(HALF, HALF).status == "ok"


def test_ignored_pixels_count_for_nothing():
    assert iou(HALF, FULL, void=~HALF).value == 1
    assert dice(HALF, FULL, void=~HALF).value == 1
    assert iou(HALF, FULL, void=FULL).status == "both_empty"


@given(MASKS.filter(np.any), MASKS)
def test_dice_follows_from_iou_and_both_are_symmetric(a, b):
    j = iou(a, b).value
    assert dice(a, b).value == pytest.approx(2 * j / (1 + j))
    assert iou(b, a).value == j
    assert boundary_f(a, b).value == pytest.approx(boundary_f(b, a).value)
    assert boundary_f(a, a).value == 1


def test_the_tolerance_is_a_part_of_the_diagonal_or_pixels():
    # 0.008 of a diagonal of 125 pixels is exactly 1 pixel: a shift by 1 is forgiven, one by 2 is not.
    truth = np.zeros((75, 100), np.bool_)
    truth[20:40, 30:60] = True
    assert boundary_f(np.roll(truth, 1, axis=1), truth).value == 1
    assert boundary_f(np.roll(truth, 2, axis=1), truth).value < 1
    assert boundary_f(np.roll(truth, 2, axis=1), truth, tolerance=2).value == 1


@pytest.mark.parametrize("score", [iou, dice, boundary_f])
def test_masks_must_be_bool_and_of_one_shape(score):
    with pytest.raises(ValueError, match="must be a bool mask, not uint8"):
        score(HALF.astype(np.uint8), FULL)
    with pytest.raises(ValueError, match=r"\(5, 4\) does not fit the truth of shape \(4, 5\)"):
        score(HALF.T, FULL)
    with pytest.raises(ValueError, match="void"):
        score(HALF, FULL, void=FULL.T)


def sequence(*frames):
    """Label maps of 4 x 4 pixels that are one id all over."""
    return np.stack([np.full((4, 4), number, np.uint8) for number in frames])


EVERY_FRAME = SequenceRules(skip_ends=False)


def test_frames_before_an_object_is_seen_do_not_count():
    score = j_and_f(sequence(0, 0, 1, 0), sequence(0, 0, 1, 1), EVERY_FRAME)
    assert score.objects[1].frames == (2, 3)
    assert score.objects[1].j_per_frame == (1, 0)


def test_an_early_false_positive_starts_the_clock():
    score = j_and_f(sequence(1, 0, 1, 0), sequence(0, 0, 1, 0), EVERY_FRAME)
    assert score.objects[1].j_per_frame == (0, 1, 1, 1)


def test_the_ends_are_left_out_and_so_are_objects_seen_only_there():
    score = j_and_f(sequence(0, 1, 1, 0), sequence(2, 1, 1, 3), SA_V)
    assert set(score.objects) == {1}
    assert score.objects[1].frames == (1, 2)
    assert (score.j, score.f, score.j_and_f) == (1, 1, 1)


def test_an_objects_frames_count_from_after_its_prompt():
    truth, prediction = sequence(1, 1, 1, 2), sequence(1, 0, 1, 0)
    score = j_and_f(prediction, truth, EVERY_FRAME, prompt_frames={1: 1, 2: 3})
    assert set(score.objects) == {1}
    assert score.objects[1].frames == (2, 3)


def test_the_prompted_frame_counts_if_asked():
    truth, prediction = sequence(1, 1, 1), sequence(1, 1, 0)
    score = j_and_f(prediction, truth, EVERY_FRAME, {1: 1}, skip_prompt_frame=False)
    assert score.objects[1].j_per_frame == (1, 0)
    assert j_and_f(prediction, truth, EVERY_FRAME, {1: 1}).objects[1].j_per_frame == (0,)


def test_absences_are_scored_apart():
    score = j_and_f(sequence(1, 0, 1, 0), sequence(1, 0, 0, 0), EVERY_FRAME).objects[1]
    assert score.statuses == ("ok", "both_empty", "gt_empty", "both_empty")
    assert score.absent_accuracy == 2 / 3
    assert math.isnan(j_and_f(sequence(1), sequence(1), EVERY_FRAME).objects[1].absent_accuracy)


@given(MASKS, MASKS, st.floats(0.001, 3))
def test_a_boundary_is_scored_the_same_wherever_the_mask_lies(pred, gt, tolerance):
    """What is cut away around the masks does not matter: only the image's border and diagonal do."""
    frame = ((30, 20), (25, 40))
    whole = boundary_f(np.pad(pred, frame), np.pad(gt, frame), max(1, tolerance))
    moved = boundary_f(*(np.roll(np.pad(mask, frame), (-9, 5), (0, 1)) for mask in (pred, gt)), max(1, tolerance))
    assert whole == moved


def test_ignored_pixels_of_a_sequence():
    truth = sequence(1, 1)
    prediction = truth.copy()
    prediction[:, :, 2:] = 0
    void = prediction == 0
    assert j_and_f(prediction, truth, EVERY_FRAME, void=void).j == 1


def test_nothing_to_score_is_nan_and_other_shapes_are_refused():
    assert math.isnan(j_and_f(sequence(1, 1, 1), sequence(0, 0, 0)).j_and_f)
    with pytest.raises(ValueError, match="one shape"):
        j_and_f(sequence(1, 1), sequence(1, 1, 1))
