"""Dice, IoU and all surface measures against MedPy, MONAI and DeepMind (tests/golden/metrics/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

from trocar.metrics import assd, dice, hausdorff, hd95, iou, nsd
from trocar.metrics.multiclass import CVPR24, CVPR25, CaseRules, score_case
from trocar.metrics.surface import surface_distances

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
NAN, INF = float("nan"), float("inf")


def cases(family):
    arrays = np.load(GOLDEN / f"{family}.npz")
    for case in json.loads((GOLDEN / f"{family}.json").read_text()):
        if "medpy" in case["expected"]:
            masks = [arrays[f"{case['id']}_{which}"].astype(bool) for which in ("pred", "gt")]
            yield pytest.param(case["expected"], *masks, tuple(case["spacing"]), id=f"{family}-{case['name']}")


PAIRS = pytest.mark.parametrize(("expected", "pred", "gt", "spacing"), [*cases("pairs2d"), *cases("pairs3d")])


def exactly(number):
    return pytest.approx(float(number), abs=1e-12, rel=1e-12, nan_ok=True)


def monai(number):
    """MONAI works in float32, the places of its percentiles included."""
    return pytest.approx(float(number), abs=1e-5 + 1e-6 * abs(float(number)), nan_ok=True)


def medpy(number):
    """MedPy raises where a mask is empty; ours is NaN with a status."""
    return exactly(NAN if isinstance(number, dict) else number)


@PAIRS
def test_overlap(expected, pred, gt, spacing):
    assert dice(pred, gt, both_empty=1.0).value == exactly(expected["medpy"]["dc"])
    assert iou(pred, gt).value == exactly(expected["medpy"]["jc"])
    assert dice(pred, gt).value == exactly(expected["surface_distance"]["dice"])
    libraries = expected["monai"]
    assert dice(pred, gt, both_empty=1.0).value == monai(libraries["dice_ignore_empty_False"])
    assert iou(pred, gt, both_empty=1.0).value == monai(libraries["iou_ignore_empty_False"])
    nan_without_truth = dice(pred, gt), iou(pred, gt, both_empty=NAN)
    for ours, theirs in zip(nan_without_truth, ("dice_ignore_empty_True", "iou_ignore_empty_True"), strict=True):
        assert (ours.value if gt.any() else NAN) == monai(libraries[theirs])


@PAIRS
def test_medpy(expected, pred, gt, spacing):
    theirs = expected["medpy"]
    assert hausdorff(pred, gt, spacing).value == medpy(theirs["hd"])
    assert hd95(pred, gt, spacing).value == medpy(theirs["hd95"])
    assert hausdorff(pred, gt, spacing, 95, connectivity=gt.ndim).value == medpy(theirs["hd95_connectivity2"])
    assert assd(pred, gt, spacing).value == medpy(theirs["assd"])
    one_way = surface_distances(pred, gt, spacing, "voxels")
    if one_way.status == "ok":
        assert one_way.pred_to_gt.mean() == medpy(theirs["asd_pred_to_gt"])


@PAIRS
def test_monai(expected, pred, gt, spacing):
    theirs = expected["monai"]
    assert hausdorff(pred, gt, spacing, method="monai").value == monai(theirs["hd_percentile_None"])
    assert hd95(pred, gt, spacing, "monai").value == monai(theirs["hd_percentile_95"])
    one_way = surface_distances(pred, gt, spacing, "voxels")
    if one_way.status == "ok":
        assert np.percentile(one_way.pred_to_gt, 95) == monai(theirs["hd95_directed_pred_to_gt"])
        assert assd(pred, gt, spacing).value == monai(theirs["asd_symmetric"])
    for tolerance, value in theirs["nsd"].items():
        assert nsd(pred, gt, spacing, float(tolerance), "monai").value == monai(value)
    for tolerance, value in theirs["nsd_subvoxel"].items():
        assert nsd(pred, gt, spacing, float(tolerance)).value == monai(value)


@PAIRS
def test_deepmind(expected, pred, gt, spacing):
    theirs = expected["surface_distance"]
    assert hausdorff(pred, gt, spacing, method="deepmind").value == exactly(theirs["rhd100"])
    assert hd95(pred, gt, spacing, "deepmind").value == exactly(theirs["rhd95"])
    for tolerance, value in theirs["nsd"].items():
        assert nsd(pred, gt, spacing, float(tolerance)).value == exactly(value)
    found = surface_distances(pred, gt, spacing)
    assert [len(found.areas_gt), len(found.areas_pred)] == theirs["n_surfels"]
    assert found.areas_gt.sum() == exactly(theirs["surface_area_gt"])
    assert found.areas_pred.sum() == exactly(theirs["surface_area_pred"])
    if found.status == "ok":
        ways = (found.gt_to_pred, found.areas_gt), (found.pred_to_gt, found.areas_pred)
        assert [(far * area).sum() / area.sum() for far, area in ways] == [
            exactly(value) for value in theirs["avg_surface_distance"]
        ]
        assert [area[far <= 2].sum() / area.sum() for far, area in ways] == [
            exactly(value) for value in theirs["overlap@2"]
        ]


@PAIRS
def test_the_copies_in_litemedsam(expected, pred, gt, spacing):
    for tolerance, value in expected.get("litemedsam_2d_as_3d_nsd_spacing1", {}).items():
        slab = pred[..., None], gt[..., None]
        assert nsd(*slab, (1.0, 1.0, 1.0), float(tolerance)).value == exactly(value)
    if "litemedsam_surface" in expected:
        theirs = expected["litemedsam_surface"]
        assert hd95(pred, gt, spacing, "deepmind").value == exactly(theirs["rhd95"])
        for tolerance, value in theirs["nsd"].items():
            assert nsd(pred, gt, spacing, float(tolerance)).value == exactly(value)


CASES = json.loads((GOLDEN / "multiclass3d.json").read_text())
ORGANS = {"Liver": 1, "Right Kidney": 2, "Spleen": 3}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_multiclass(case):
    arrays, spacing, expected = np.load(GOLDEN / "multiclass3d.npz"), tuple(case["spacing"]), case["expected"]
    pred, gt = (arrays[f"{case['id']}_{which}"] for which in ("pred", "gt"))
    for rules, name in ((CVPR24, "cvpr24_litemedsam"), (CVPR25, "cvpr25_interactive")):
        score, theirs = score_case(pred, gt, spacing, rules), expected[name]
        assert score.mean_dice == exactly(theirs["dsc"])
        assert score.mean_nsd == exactly(theirs["nsd_ungated_tol2"])
        assert score.nsd_as_scored == exactly(theirs["nsd_as_scored"])
        assert round(score.mean_dice, 4) == exactly(theirs["dsc_round4"])
    reversed_order = score_case(pred, gt, spacing[::-1], CVPR24).mean_nsd
    assert reversed_order == exactly(expected["nsd_tol2_spacing_reversed_order"])

    slab = score_case(pred[5][..., None], gt[5][..., None], (1.0, 1.0, 1.0), CVPR24)
    assert slab.mean_dice == exactly(expected["cvpr24_litemedsam_2d_slice5"]["dsc"])
    assert slab.mean_nsd == exactly(expected["cvpr24_litemedsam_2d_slice5"]["nsd_ungated_tol2_as_HxWx1"])

    organs = score_case(pred, gt, spacing, CaseRules((1, 2, 3), both_empty=1.0, gate=None))
    for organ, number in ORGANS.items():
        theirs = expected["flare22_convention_labels123"]
        assert organs.dice[number].value == exactly(theirs["dsc"][organ])
        assert organs.nsd[number].value == exactly(theirs["nsd_tol2"][organ])
