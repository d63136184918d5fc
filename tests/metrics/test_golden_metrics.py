"""J, F and J&F against what the DAVIS 2017 and SA-V evaluators return (tests/golden/metrics/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

from trocar.metrics import DAVIS, SA_V, SequenceRules, boundary_f, decay, dice, iou, j_and_f, pooled, recall

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
    assert iou(truth, prediction, void).value == pytest.approx(davis["J"], abs=ABS)
    assert boundary_f(truth, prediction, void) == pytest.approx(davis["F_0.008"], abs=ABS)
    if "F_bound_th_2px" in davis:
        assert boundary_f(truth, prediction, tolerance=2) == pytest.approx(davis["F_bound_th_2px"], abs=ABS)
    if "medpy" in expected:
        assert dice(truth, prediction, both_empty=1.0).value == pytest.approx(expected["medpy"]["dc"], abs=ABS)
        nan_if_empty = float(expected["surface_distance"]["dice"])
        assert dice(truth, prediction).value == pytest.approx(nan_if_empty, abs=ABS, nan_ok=True)


@pytest.mark.parametrize("case", SEQUENCES["videos"], ids=lambda case: f"{case['id']}-{case['name']}")
@pytest.mark.parametrize(
    ("rules", "layout"), [(SA_V, "sav_labelmap_layout_skipTrue"), (NO_SKIP, "sav_labelmap_layout_skipFalse")]
)
def test_sequence_by_sa_v_rules(case, rules, layout, sequence_arrays):
    name, expected = case["id"], case["expected"][layout]
    score = j_and_f(sequence_arrays[f"{name}_gt"], sequence_arrays[f"{name}_pred"], rules)
    per_object = expected["per_object"][name]
    assert {str(number): 100 * of.j for number, of in score.objects.items()} == pytest.approx(per_object["J"])
    assert {str(number): 100 * of.f for number, of in score.objects.items()} == pytest.approx(per_object["F"])
    for ours, theirs in ((score.j, "J"), (score.f, "F"), (score.j_and_f, "J&F")):
        assert 100 * ours == pytest.approx(float(expected["global"][theirs]), nan_ok=True)


@pytest.mark.parametrize("case", SEQUENCES["videos"], ids=lambda case: f"{case['id']}-{case['name']}")
def test_sequence_by_davis_rules(case, sequence_arrays):
    name, expected = case["id"], case["expected"]["davis2017_semi_supervised"]
    arrays = sequence_arrays[f"{name}_gt"], sequence_arrays[f"{name}_pred"]
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


@pytest.mark.parametrize("layout", ["davis2017_semi_supervised", "sav_labelmap_layout_skipTrue"])
def test_pooled(layout, sequence_arrays):
    everything = SEQUENCES["pooled"]
    davis = layout.startswith("davis")
    per_object = everything[layout]["per_object_J_mean" if davis else "per_object"]
    names = sorted({key.split("_")[0] for key in per_object})
    score = pooled(
        {
            name: j_and_f(sequence_arrays[f"{name}_gt"], sequence_arrays[f"{name}_pred"], DAVIS if davis else SA_V)
            for name in names
        }
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
