"""Averages, class scores, segments, intervals and calibration by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trocar.metrics import Score, average, endovis, recognition, sarrarp50
from trocar.metrics.calibration import calibration
from trocar.metrics.multiclass import CVPR24, score_case

SCORES = [Score(0.5, "ok"), Score(math.nan, "both_empty"), Score(0.0, "pred_empty"), Score(math.inf, "gt_empty")]


def test_an_average_says_what_it_stands_for():
    left = average(SCORES, both_empty=None, one_empty=None)
    assert (left.value, left.counted, left.left_out) == (0.5, 1, 3)
    kept = average(SCORES, both_empty=1.0, one_empty=0.0)
    assert (kept.value, kept.counted, kept.left_out) == (1.5 / 4, 4, 0)
    assert math.isnan(average([], both_empty=None, one_empty=None).value)
    with pytest.raises(ValueError, match="nan"):
        average([Score(math.nan, "ok")], both_empty=None, one_empty=None)


def test_endovis_figures_by_hand():
    gt = np.array([[[1, 1, 2, 2]], [[0, 0, 0, 0]], [[1, 1, 0, 0]]])
    pred = np.array([[[1, 0, 2, 2]], [[3, 0, 0, 0]], [[0, 0, 0, 0]]])
    counts = endovis.count(pred, gt, classes=3)
    challenge = endovis.challenge_iou(counts)
    assert (challenge.value, challenge.counted, challenge.left_out) == ((0.75 + 0) / 2, 2, 1)
    assert endovis.iou(counts).value == (0.75 + 0 + 0) / 3
    assert [one.value for one in endovis.class_ious(counts)] == [0.25, 1, 0]
    assert endovis.mean_class_iou(counts).value == 1.25 / 3
    assert endovis.total_iou(counts).value == 3 / 5  # the missed frame does not count
    seven = endovis.count(pred, gt)
    assert endovis.mean_class_iou(seven).value == 1.25 / 3
    assert endovis.mean_class_iou(seven, "matis").value == 1.25 / 7


def test_frames_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 3\) does not fit"):
        endovis.count([np.zeros((1, 3), int)], [np.zeros((1, 4), int)])
    with pytest.raises(ValueError, match="shorter has 1"):
        endovis.count([np.zeros((1, 3), int)], [np.zeros((1, 3), int)] * 2)
    with pytest.raises(ValueError, match="do not match"):
        endovis.merge_classes([], [], [])
    assert math.isnan(endovis.iou(endovis.count([], [])).value)


def test_segments_by_hand():
    gt = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert sarrarp50.segmental_f1(gt, gt) == 1
    # Three predicted segments, of which the second 0 finds its segment taken: 2 of 3 right, 2 of 2 found.
    assert sarrarp50.segmental_f1(np.array([0, 2, 0, 0, 1, 1, 1, 1]), gt) == pytest.approx(2 * 2 / (4 + 2))
    assert sarrarp50.segmental_f1(np.full(8, 5), gt) == 0
    with pytest.raises(ValueError, match="do not match"):
        sarrarp50.segmental_f1(gt[:3], gt)


def test_a_gap_in_the_numbers_is_nan_in_the_plain_mean_and_can_be_left_out():
    gt = np.array([[1, 1, 3, 3]])
    score = score_case(gt, gt, (1.0, 1.0), CVPR24)
    assert math.isnan(score.mean_dice)
    assert score.nsd_as_scored == 0
    found = average(score.dice.values(), both_empty=None, one_empty=0.0)
    assert (found.value, found.counted, found.left_out) == (1, 2, 1)


def test_the_majority_is_a_rival():
    gt = np.array([0, 0, 0, 1])
    always = np.zeros(4, int)
    assert recognition.majority(gt) == recognition.top1(always, gt) == 0.75
    assert recognition.balanced(always, gt) == 0.5
    assert recognition.macro_f1(always, gt) == pytest.approx((6 / 7 + 0) / 2)
    with pytest.raises(ValueError, match="one class number each"):
        recognition.top1(always[:2], gt)


def test_domains_count_alike():
    score = recognition.domain_macro({"a": 1.0, "b": 0.0, "c": 0.0}, {"a": "x", "b": "y", "c": "y"})
    assert (score.domains, score.overall, score.worst) == ({"x": 1, "y": 0}, 0.5, "y")
    with pytest.raises(ValueError, match="for b"):
        recognition.domain_macro({"a": 1.0, "b": 0.0}, {"a": "x"})
    with pytest.raises(ValueError, match="no score"):
        recognition.domain_macro({}, {})


def test_wilson_interval_by_hand():
    # With z = 1.96 and 1 of 10: (0.1 + 0.192) / 1.384 -+ 1.96 / 1.384 * sqrt(0.009 + 0.0096)
    assert recognition.wilson_interval(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    with pytest.raises(ValueError, match="3 of 2"):
        recognition.wilson_interval(3, 2)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.01, 0.99))
def test_an_interval_holds_its_share_and_stays_in_bounds(measured, confidence):
    low, high = recognition.wilson_interval(*measured, confidence)
    assert 0 <= low <= measured[0] / measured[1] <= high <= 1
    # The ends are the shares from which the measured one lies z standard deviations away.
    wider = recognition.wilson_interval(*measured, (1 + confidence) / 2)
    assert wider[0] <= low
    assert high <= wider[1]


def test_calibration_by_hand():
    found = calibration(np.array([0.9, 0.9, 0.9, 0.9, 0.55, 0.55]), np.array([1, 1, 1, 0, 0, 0], bool), bins=10)
    assert [(one.count, one.accuracy) for one in found.bins] == [(2, 0), (4, 0.75)]
    assert found.error == pytest.approx(2 / 6 * 0.55 + 4 / 6 * 0.15)
    assert found.worst == pytest.approx(0.55)
    # An edge belongs to the bin below it, 0 to the first.
    assert [one.high for one in calibration(np.array([0, 0.5, 1]), np.ones(3, bool), 2).bins] == [0.5, 1]
    for wrong in (np.array([1.5]), np.array([math.nan])):
        with pytest.raises(ValueError, match="probability"):
            calibration(wrong, np.ones(1, bool))
    with pytest.raises(ValueError, match="do not fit"):
        calibration(np.ones(2), np.ones(1, bool))
