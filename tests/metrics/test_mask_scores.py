import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from trocar.metrics import SA_V, SequenceRules, boundary_f, dice, iou, j_and_f

MASKS = arrays(np.bool_, (7, 9))
EMPTY, FULL = np.zeros((4, 5), np.bool_), np.ones((4, 5), np.bool_)
HALF = FULL.copy()
HALF[:, 2:] = False  # 8 of 20 pixels


def test_values_by_hand():
    assert iou(FULL, HALF).value == 8 / 20
    assert dice(FULL, HALF).value == 16 / 28


def test_empty_masks_say_so():
    assert iou(EMPTY, EMPTY).value == 1
    assert iou(EMPTY, EMPTY, both_empty=0).value == 0
    assert math.isnan(dice(EMPTY, EMPTY).value)
    for score in (iou, dice):
        assert score(EMPTY, EMPTY).status == "both_empty"
        assert (score(EMPTY, HALF).value, score(EMPTY, HALF).status) == (0, "gt_empty")
        assert (score(HALF, EMPTY).value, score(HALF, EMPTY).status) == (0, "pred_empty")
        assert score(HALF, HALF).status == "ok"


def test_ignored_pixels_count_for_nothing():
    assert iou(FULL, HALF, ignore=~HALF).value == 1
    assert dice(FULL, HALF, ignore=~HALF).value == 1
    assert iou(FULL, HALF, ignore=FULL).status == "both_empty"


@given(MASKS.filter(np.any), MASKS)
def test_dice_follows_from_iou_and_both_are_symmetric(a, b):
    j = iou(a, b).value
    assert dice(a, b).value == pytest.approx(2 * j / (1 + j))
    assert iou(b, a).value == j
    assert boundary_f(a, b) == pytest.approx(boundary_f(b, a))
    assert boundary_f(a, a) == 1


def test_the_tolerance_is_a_part_of_the_diagonal_or_pixels():
    # 0.008 of a diagonal of 125 pixels is exactly 1 pixel: a shift by 1 is forgiven, one by 2 is not.
    truth = np.zeros((75, 100), np.bool_)
    truth[20:40, 30:60] = True
    assert boundary_f(truth, np.roll(truth, 1, axis=1)) == 1
    assert boundary_f(truth, np.roll(truth, 2, axis=1)) < 1
    assert boundary_f(truth, np.roll(truth, 2, axis=1), tolerance=2) == 1


@pytest.mark.parametrize("score", [iou, dice, boundary_f])
def test_masks_must_be_bool_and_of_one_shape(score):
    with pytest.raises(ValueError, match="must be a bool mask, not uint8"):
        score(FULL.astype(np.uint8), HALF)
    with pytest.raises(ValueError, match=r"\(5, 4\) does not fit the truth of shape \(4, 5\)"):
        score(FULL, HALF.T)
    with pytest.raises(ValueError, match="ignore"):
        score(FULL, HALF, FULL.T)


def sequence(*frames):
    """Label maps of 4 x 4 pixels that are one id all over."""
    return np.stack([np.full((4, 4), number, np.uint8) for number in frames])


EVERY_FRAME = SequenceRules(skip_ends=False)


def test_frames_before_an_object_is_seen_do_not_count():
    score = j_and_f(sequence(0, 0, 1, 1), sequence(0, 0, 1, 0), EVERY_FRAME)
    assert score.objects[1].frames == (2, 3)
    assert score.objects[1].j_per_frame == (1, 0)


def test_an_early_false_positive_starts_the_clock():
    score = j_and_f(sequence(0, 0, 1, 0), sequence(1, 0, 1, 0), EVERY_FRAME)
    assert score.objects[1].j_per_frame == (0, 1, 1, 1)


def test_the_ends_are_left_out_and_so_are_objects_seen_only_there():
    score = j_and_f(sequence(2, 1, 1, 3), sequence(0, 1, 1, 0), SA_V)
    assert set(score.objects) == {1}
    assert score.objects[1].frames == (1, 2)
    assert (score.j, score.f, score.j_and_f) == (1, 1, 1)


def test_an_objects_frames_count_from_after_its_prompt():
    truth, prediction = sequence(1, 1, 1, 2), sequence(1, 0, 1, 0)
    score = j_and_f(truth, prediction, EVERY_FRAME, prompt_frames={1: 1, 2: 3})
    assert set(score.objects) == {1}
    assert score.objects[1].frames == (2, 3)


def test_ignored_pixels_of_a_sequence():
    truth = sequence(1, 1)
    prediction = truth.copy()
    prediction[:, :, 2:] = 0
    ignore = prediction == 0
    assert j_and_f(truth, prediction, EVERY_FRAME, ignore=ignore).j == 1


def test_nothing_to_score_is_nan_and_other_shapes_are_refused():
    assert math.isnan(j_and_f(sequence(0, 0, 0), sequence(1, 1, 1)).j_and_f)
    with pytest.raises(ValueError, match="one shape"):
        j_and_f(sequence(1, 1), sequence(1, 1, 1))
