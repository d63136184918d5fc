"""EndoVis, SAR-RARP50, MedSAM-2's scorer and accuracies against the published code (tests/golden/metrics/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

from trocar.metrics import endovis, medsam2, recognition, sarrarp50

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"


def golden(family):
    return json.loads((GOLDEN / f"{family}.json").read_text())


def arrays_of(family):
    return np.load(GOLDEN / f"{family}.npz")


def exactly(number, tolerance=1e-10):
    return pytest.approx(float(number), abs=tolerance, rel=1e-12, nan_ok=True)


ENDOVIS, RARP, ACCURACY = golden("endovis"), golden("sarrarp50"), golden("accuracy")


@pytest.mark.parametrize("case", ENDOVIS["eval"], ids=lambda case: case["name"])
def test_endovis(case):
    arrays, expected = arrays_of("endovis"), case["expected"]
    counts = endovis.count(arrays[f"{case['id']}_pred"], arrays[f"{case['id']}_gt"])
    theirs = expected["surgicalsam_isinet_unrounded"]
    assert 100 * endovis.challenge_iou(counts).value == exactly(theirs["challengIoU"])
    assert 100 * endovis.iou(counts).value == exactly(theirs["IoU"])
    assert 100 * endovis.total_iou(counts).value == exactly(theirs["mIoU"])
    assert 100 * endovis.mean_class_iou(counts).value == exactly(theirs["mcIoU"], 1e-4)
    per_class = [100 * one.value for one in endovis.class_ious(counts)]
    assert per_class == [exactly(value, 1e-4) for value in theirs["cIoU_per_class"]]

    rounded = expected["surgicalsam_isinet_rounded"]
    assert round(100 * endovis.challenge_iou(counts).value, 3) == exactly(rounded["challengIoU"])
    assert round(100 * endovis.mean_class_iou(counts).value, 3) == exactly(rounded["mcIoU"])
    matis = endovis.challenge_iou(counts), endovis.iou(counts), endovis.mean_class_iou(counts, "matis")
    assert [one.value for one in matis] == [exactly(one) for one in expected["matis_(challengeIoU,IoU,mcIoU)"]]


@pytest.mark.parametrize("case", ENDOVIS["merge"], ids=lambda case: case["id"])
def test_classes_merged_by_quality(case):
    arrays = arrays_of("endovis")
    classes = [int(name[-5]) for name in case["names"]]
    masks = list(arrays[f"{case['id']}_logits"] > case["threshold"])
    assert (endovis.merge_classes(masks, classes, case["quality"]) == arrays[case["expected_label_key"]]).all()


def test_sarrarp50():
    arrays, videos, actions = arrays_of("sarrarp50"), [], []
    for case in RARP["videos"]:
        name, missing = case["id"], case["missing_pred_frames"]
        frames = zip(arrays[f"{name}_pred"], arrays[f"{name}_gt"], strict=True)
        scores = [
            sarrarp50.score_frame(None if index in missing else pred, gt) for index, (pred, gt) in enumerate(frames)
        ]
        for score, ious, nsds in zip(
            scores, case["per_frame_per_class_iou"], case["per_frame_per_class_nsd_tau10"], strict=True
        ):
            assert score.iou == pytest.approx(ious, abs=1e-5)
            assert score.nsd == pytest.approx(nsds, abs=1e-5)
        one = sarrarp50.segmentation([scores])
        assert (one.first, one.second) == pytest.approx((case["seg_mIoU"], case["seg_mNSD"]), abs=1e-5)
        videos.append(scores)
        actions.append((arrays[f"{name}_action_pred"], arrays[f"{name}_action_gt"]))
        action = sarrarp50.action_recognition(actions[-1:])
        assert (action.first, action.second) == pytest.approx((case["ar_acc"], case["ar_f1@10"]), abs=1e-12)
    final = RARP["final"]
    segmented, recognised = sarrarp50.segmentation(videos), sarrarp50.action_recognition(actions)
    assert segmented.first == pytest.approx(final["seg_mIoU"], abs=1e-5)
    assert segmented.second == pytest.approx(final["seg_mNSD"], abs=1e-5)
    assert segmented.score == pytest.approx(final["segmentation_score"], abs=1e-5)
    assert recognised.first == exactly(final["ar_acc"])
    assert recognised.second == exactly(final["ar_f1@10"])
    assert recognised.score == exactly(final["action_score"])


@pytest.mark.parametrize("case", golden("medsam2_eval_seg"), ids=lambda case: case["id"])
def test_medsam2(case):
    arrays = arrays_of("medsam2_eval_seg")
    logits, gt = arrays[f"{case['id']}_logits"], arrays[f"{case['id']}_gt"].astype(bool)
    thresholds = case["thresholds_on_logits"]
    assert medsam2.released_scores(logits, gt, thresholds) == pytest.approx(case["(iou,dice)"], abs=1e-6)
    single = case["(iou,dice)_single_threshold_0.5"]
    assert medsam2.released_scores(logits, gt, (0.5,)) == pytest.approx(single, abs=1e-6)


@pytest.mark.parametrize("case", ACCURACY["datasets"], ids=lambda case: case["id"])
def test_accuracies(case):
    arrays = arrays_of("accuracy")
    pred, gt = recognition.predicted(arrays[f"{case['id']}_logits"]), arrays[f"{case['id']}_y"]
    assert 100 * recognition.top1(pred, gt) == exactly(case["top1"])
    assert 100 * recognition.balanced(pred, gt) == exactly(case["balanced"])
    assert 100 * recognition.macro_f1(pred, gt) == exactly(case["macro_f1"])


def test_domains():
    tops = {case["id"]: case["top1"] for case in ACCURACY["datasets"]}
    score = recognition.domain_macro(tops, {case["id"]: case["domain"] for case in ACCURACY["datasets"]})
    assert score.domains == {name: exactly(value) for name, value in ACCURACY["domain_macro"].items()}
    assert score.overall == exactly(ACCURACY["overall_macro"])
    assert [score.worst, score.domains[score.worst]] == [
        ACCURACY["worst_domain"][0],
        exactly(ACCURACY["worst_domain"][1]),
    ]


@pytest.mark.parametrize("case", ACCURACY["multi_view_videomae_merge"], ids=lambda case: case["id"])
def test_views(case):
    logits = arrays_of("accuracy")[case["id"]]
    probabilities = recognition.merge_views(logits)
    assert probabilities == pytest.approx(case["mean_prob"], abs=1e-6)
    assert probabilities.argmax() == case["pred"]
    assert logits.mean(axis=0).argmax() == case["pred_if_logits_averaged"]
    assert (case["pred"] == case["label"]) == case["top1"]
