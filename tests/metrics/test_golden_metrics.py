"""J, F and J&F against what the DAVIS 2017 and SA-V evaluators return (tests/golden/metrics/README.md)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from trocar.metrics import DAVIS, SA_V, SequenceRules, boundary_f, decay, iou, j_and_f, pooled, recall

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
PAIRS = json.loads((GOLDEN / "pairs2d.json").read_text())
SEQUENCES = json.loads((GOLDEN / "sequences.json").read_text())
NO_SKIP = SequenceRules(skip_ends=False)
ABS = 1e-12


@pytest.fixture(scope="module")
def pair_arrays():
    return np.load(GOLDEN / "pairs2d.npz")


@pytest.fixture(scope="module")
def sequence_arrays():
    return np.load(GOLDEN / "sequences.npz")


@pytest.mark.parametrize("case", PAIRS, ids=lambda case: f"{case['id']}-{case['name']}")
def test_pair(case, pair_arrays):
    expected = case["expected"]
    truth, prediction = (pair_arrays[f"{case['id']}_{which}"].astype(bool) for which in ("gt", "pred"))
    void = pair_arrays[f"{case['id']}_void"].astype(bool) if "void" in case["id"] else None
    davis = expected["davis"]
    assert iou(prediction, truth, void).value == pytest.approx(davis["J"], abs=ABS)
    assert boundary_f(prediction, truth, void=void).value == pytest.approx(davis["F_0.008"], abs=ABS)
    if "F_bound_th_2px" in davis:
        assert boundary_f(prediction, truth, tolerance=2).value == pytest.approx(davis["F_bound_th_2px"], abs=ABS)
    if "sav_single_frame" in expected:
        per_object_j, per_object_f = expected["sav_single_frame"]["conclude"]
        assert {100 * iou(prediction, truth).value} >= set(per_object_j.values())
        assert [100 * boundary_f(prediction, truth).value] * len(per_object_f) == pytest.approx(
            list(per_object_f.values()), abs=ABS
        )


@pytest.mark.parametrize("case", SEQUENCES["videos"], ids=lambda case: f"{case['id']}-{case['name']}")
@pytest.mark.parametrize(("rules", "skip"), [(SA_V, "skipTrue"), (NO_SKIP, "skipFalse")])
@pytest.mark.parametrize("layout", ["sav_labelmap_layout", "sav_per_object_layout"])
def test_sequence_by_sa_v_rules(case, rules, skip, layout, sequence_arrays):
    name, expected = case["id"], case["expected"][f"{layout}_{skip}"]
    score = j_and_f(sequence_arrays[f"{name}_pred"], sequence_arrays[f"{name}_gt"], rules)
    if "raises" in expected:  # no frame is left in a folder of two: the label maps' NaN is kept for both layouts
        assert math.isnan(score.j_and_f)
        return
    for theirs, ours in (("J", {n: 100 * of.j for n, of in score.objects.items()}), ("F", of_f(score))):
        per_object = {int(number): value for number, value in expected["per_object"][name][theirs].items()}
        assert ours == pytest.approx(per_object, abs=1e-10)
    for ours, theirs in ((score.j, "J"), (score.f, "F"), (score.j_and_f, "J&F")):
        assert 100 * ours == pytest.approx(float(expected["global"][theirs]), nan_ok=True)


def of_f(score):
    return {number: 100 * of.f for number, of in score.objects.items()}


@pytest.mark.parametrize("case", SEQUENCES["videos"], ids=lambda case: f"{case['id']}-{case['name']}")
def test_frames_by_davis(case, sequence_arrays):
    name = case["id"]
    score = j_and_f(sequence_arrays[f"{name}_pred"], sequence_arrays[f"{name}_gt"], NO_SKIP)
    for number, expected in case["expected"].get("per_frame_davis", {}).items():
        if int(number) in score.objects:
            ours = score.objects[int(number)]
            assert ours.j_per_frame == pytest.approx([expected["J"][frame] for frame in ours.frames], abs=ABS)
            assert ours.f_per_frame == pytest.approx([expected["F"][frame] for frame in ours.frames], abs=ABS)


@pytest.mark.parametrize("case", SEQUENCES["videos"], ids=lambda case: f"{case['id']}-{case['name']}")
def test_sequence_by_davis_rules(case, sequence_arrays):
    name, expected = case["id"], case["expected"]["davis2017_semi_supervised"]
    arrays = sequence_arrays[f"{name}_pred"], sequence_arrays[f"{name}_gt"]
    if "raises" in expected:
        with pytest.raises(ValueError, match="SA-V rules"):
            j_and_f(*arrays, DAVIS)
        return
    score = j_and_f(*arrays, DAVIS)
    objects = score.objects.items()
    assert {f"{name}_{n}": of.j for n, of in objects} == pytest.approx(expected["per_object_J_mean"], abs=ABS)
    assert {f"{name}_{n}": of.f for n, of in objects} == pytest.approx(expected["per_object_F_mean"], abs=ABS)
    assert [recall(of.j_per_frame) for _, of in objects] == pytest.approx(expected["J_recall"], abs=ABS)
    assert [decay(of.j_per_frame) for _, of in objects] == pytest.approx(expected["J_decay"], abs=ABS)
    assert [recall(of.f_per_frame) for _, of in objects] == pytest.approx(expected["F_recall"], abs=ABS)
    assert [decay(of.f_per_frame) for _, of in objects] == pytest.approx(expected["F_decay"], abs=ABS)
    assert score.j_and_f == pytest.approx(expected["global"]["J&F-Mean"], abs=ABS)


@pytest.mark.parametrize("rules", [SA_V, NO_SKIP, DAVIS], ids=["SA-V", "every-frame", "DAVIS"])
@pytest.mark.parametrize("layout", ["labelmap", "per_object"])
def test_pooled(layout, rules, sequence_arrays):
    everything = SEQUENCES["pooled"]
    davis = rules == DAVIS
    layout = "davis2017_semi_supervised" if davis else f"sav_{layout}_layout_skip{rules.skip_ends}"
    per_object = everything[layout]["per_object_J_mean" if davis else "per_object"]
    names = sorted({key.split("_")[0] for key in per_object})
    score = pooled(
        {name: j_and_f(sequence_arrays[f"{name}_pred"], sequence_arrays[f"{name}_gt"], rules) for name in names}
    )
    total = everything[layout]["global"]
    expected = total["J&F-Mean"] if davis else total["J&F"] / 100
    assert score.j_and_f == pytest.approx(expected, abs=ABS)


@pytest.mark.parametrize("case", SEQUENCES["db_statistics"], ids=lambda case: f"{len(case['values'])}-frames")
def test_statistics(case):
    values = [float(value) for value in case["values"]]
    mean, expected_recall, expected_decay = (float(value) for value in case["mean_recall_decay"])
    assert np.nanmean(values) == pytest.approx(mean, abs=ABS)
    assert recall(values) == pytest.approx(expected_recall, abs=ABS)
    if len(values) > 256:  # the reference's frame numbers wrap at 256 there, and it returns NaN; ours stay right
        edge = len(values) // 4
        assert decay(values) == pytest.approx(np.mean(values[: edge + 1]) - np.mean(values[-edge - 1 :]), abs=ABS)
    else:
        assert decay(values) == pytest.approx(expected_decay, abs=ABS)
