"""Click curves against the CVPR 2025 script (tests/golden/metrics/README.md), and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from trocar.metrics.interactive import ClickCurve, mean_curve
from trocar.metrics.multiclass import CVPR25, score_case
from trocar.prompts import center_click3d

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
CASES = json.loads((GOLDEN / "interactive3d.json").read_text())


def curve(values):
    return ClickCurve(values[0], tuple(values[1:]))


@pytest.mark.parametrize("case", CASES["auc_curves"])
def test_area_under_the_curve(case):
    one = curve(case["values_it0_box_then_5_clicks"])
    assert one.auc == pytest.approx(case["AUC"], abs=1e-12)
    assert one.final == case["final"]


@pytest.mark.parametrize("case", CASES["toy_loops"], ids=lambda case: case["gt"])
def test_five_rounds_of_clicks(case):
    """A stand-in model paints a ball at each click, as the README of the golden cases describes."""
    gt = np.load(GOLDEN / "interactive3d.npz")[case["gt"]]
    numbers = [int(number) for number in np.unique(gt) if number]
    places = np.indices(gt.shape)
    pred = np.zeros_like(gt)

    def ball(centre, radius):
        return sum((axis - at) ** 2 for axis, at in zip(places, centre, strict=True)) <= radius**2

    for number in numbers:
        pred[ball(np.argwhere(gt == number).mean(0).round(), 2)] = number
    scores = [score_case(pred, gt, tuple(case["spacing"]), CVPR25)]
    for expected in case["clicks"]:
        # All clicks of a round answer the same prediction.
        clicks = [center_click3d(gt == number, pred == number) for number in numbers]
        for number, click, (at, kind) in zip(numbers, clicks, expected, strict=True):
            z, point = click
            assert ([z, int(point.y), int(point.x)], point.positive) == (at, kind == "fg")
            if point.positive:
                pred[ball(at, case["ball_radius"])] = number
            else:
                pred[ball(at, case["ball_radius"]) & (pred == number)] = 0
        scores.append(score_case(pred, gt, tuple(case["spacing"]), CVPR25))
    dices, nsds = [one.mean_dice for one in scores], [one.nsd_as_scored for one in scores]
    assert dices == pytest.approx(case["DSC"], abs=1e-12)
    assert nsds == pytest.approx(case["NSD"], abs=1e-12)
    assert (curve(dices).auc, curve(dices).final) == pytest.approx((case["DSC_AUC"], case["DSC_Final"]), abs=1e-12)
    assert (curve(nsds).auc, curve(nsds).final) == pytest.approx((case["NSD_AUC"], case["NSD_Final"]), abs=1e-12)


def test_clicks_until_a_score_is_reached():
    one = ClickCurve(0.5, (0.6, 0.9, 0.8))
    assert [one.clicks_to(target) for target in (0.5, 0.7, 0.9, 0.95)] == [0, 2, 2, None]


def test_mean_of_curves():
    assert mean_curve([ClickCurve(0, (0.5, 1)), ClickCurve(0.5, (0, 0.5))]) == ClickCurve(0.25, (0.25, 0.75))
    for wrong in ([], [ClickCurve(0, (1,)), ClickCurve(0, (1, 1))]):
        with pytest.raises(ValueError, match="no mean curve"):
            mean_curve(wrong)
    with pytest.raises(ValueError, match="one click"):
        ClickCurve(0, ())
