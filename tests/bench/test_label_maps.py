"""Class maps: figures from stored rows are those of the metrics, and folds are averaged as the docstring says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from made_cases import made_case
from PIL import Image

from trocar.bench.class_methods import centroid
from trocar.bench.label_maps import class_names, counts_of, initials, read_maps
from trocar.bench.protocol import Source
from trocar.bench.protocols.endovis17 import EndoVis17, mean_of_folds
from trocar.bench.protocols.endovis18 import EndoVis18
from trocar.bench.protocols.endovis_cross import EndoVisCross
from trocar.bench.results import Cell, Row
from trocar.metrics import endovis
from trocar.model import Network, tiny_random
from trocar.prompts import Point, tight_box
from trocar.track.session import Session

SOURCE = Source("set", "vocalfolds", "tune")
NAMES = class_names("vocalfolds")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random()).eval()


def labels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    maps = rng.choice(4, (5, 6, 8), p=[0.4, 0.2, 0.2, 0.2]).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    maps[2] = 0
    return maps


def write_maps(folder: Path, maps: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, one in enumerate(maps):
        Image.fromarray(one).save(folder / f"{number}.png")


def test_predictions_score_as_the_metrics_score_them(network: Network, tmp_path: Path) -> None:
    truth, found = labels(0), labels(1)
    found[3] = 0
    write_maps(tmp_path / "vocalfolds" / "made", found)
    protocol = EndoVis18(predictions=str(tmp_path), subsets=("set=vocalfolds/tune",))
    scored = protocol.score(network, made_case(truth), SOURCE)
    counts = endovis.count(found, truth, len(NAMES))
    cells = {cell.metric: cell for cell in protocol.cells(scored.rows)}
    for name, figure in {
        "ChallengeIoU": endovis.challenge_iou(counts),
        "IoU": endovis.iou(counts),
        "mcIoU": endovis.mean_class_iou(counts),
        "mcIoU MATIS": endovis.mean_class_iou(counts, "matis"),
        "IoU_VF": endovis.class_ious(counts)[0],
    }.items():
        assert (cells[name].value, cells[name].setting) == (figure.value, "predictions")
        assert next(row.value for row in scored.rows if row.metric == name) == figure.value  # one case: the same
    assert cells["ChallengeIoU"].n == 4  # the empty frame does not count
    assert scored.quality == cells["ChallengeIoU"].value
    assert math.isnan(cells["IoU_I"].value)  # intubation, which nobody shows
    assert scored.picture is not None


def test_the_right_maps_score_one_and_pixels_without_truth_count_for_neither(network: Network, tmp_path: Path) -> None:
    truth = labels(0)
    ignore = np.zeros(truth.shape, bool)
    ignore[:, :8] = True
    wrong_there = np.where(ignore, 3, truth).astype(np.uint8)
    write_maps(tmp_path / "vocalfolds" / "made", wrong_there)
    case = made_case(np.where(ignore, 0, truth), ignore=ignore)
    rows = EndoVis18(predictions=str(tmp_path)).score(network, case, SOURCE).rows
    assert {row.value for row in rows if row.metric in ("ChallengeIoU", "IoU", "mcIoU")} == {1.0}


def test_the_oracle_asks_for_each_class_of_the_frame_and_merges_by_quality(network: Network) -> None:
    truth = labels(2)[:2]
    case = made_case(truth)
    rows = EndoVis18().score(network, case, SOURCE).rows
    maps = []
    for frame, one in enumerate(truth):
        session = Session(network, case.open())
        present = [int(number) for number in np.unique(one) if number]
        answers = [session.add(tight_box(one == number), frame=frame, object_id=number) for number in present]
        pairs = list(zip(answers, present, strict=True))
        qualities = [answer.scores[number] for answer, number in pairs]
        maps.append(endovis.merge_classes([answer.masks[number] for answer, number in pairs], present, qualities))
    expected = endovis.count(maps, truth, len(NAMES))
    found = counts_of([row for row in rows if row.setting == "oracle box"], NAMES)
    assert expected.shared.any()
    assert (found.shared == expected.shared).all()
    assert (found.in_pred == expected.in_pred).all()
    assert {row.setting for row in rows} == {"oracle box", "oracle centroid"}


def test_folds_are_averaged_and_pooled(network: Network, tmp_path: Path) -> None:
    cases = {"a": (labels(0), labels(1)), "b": (labels(4)[:2], labels(5)[:2])}
    rows: list[Row] = []
    protocol = EndoVis17(predictions=str(tmp_path))
    for fold, (name, (truth, found)) in enumerate(cases.items()):
        write_maps(tmp_path / "vocalfolds" / name, found)
        rows += protocol.score(network, made_case(truth, name), Source(f"fold {fold}", "vocalfolds", "tune")).rows
    cells = {(cell.subset, cell.metric): cell.value for cell in protocol.cells(rows)}
    for metric in ("ChallengeIoU", "mcIoU", "IoU_VF"):
        folds = [cells[f"fold {fold}", metric] for fold in (0, 1)]
        assert cells["EndoVis2017", metric] == pytest.approx(sum(folds) / 2)
    everything = endovis.count(
        np.concatenate([found for _, found in cases_of(cases)]), np.concatenate([t for t, _ in cases_of(cases)]), 6
    )
    assert cells["pooled", "ChallengeIoU"] == pytest.approx(endovis.challenge_iou(everything).value)


def cases_of(cases: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(cases.values())


def test_a_class_is_averaged_over_the_folds_that_have_it() -> None:
    folds = [
        Cell(f"fold {number}", "predictions", "IoU_UP", value, 3, 0, None, None, "frames", 2)
        for number, value in enumerate([0.25, math.nan, 0.75])
    ]
    mean = mean_of_folds(folds, "all")[0]
    assert (mean.value, mean.n, mean.excluded, mean.cases) == (0.5, 2, 1, 6)


def test_across_data_sets_only_the_named_classes_count(network: Network, tmp_path: Path) -> None:
    truth, found = labels(0), labels(1)
    write_maps(tmp_path / "vocalfolds" / "made", found)
    protocol = EndoVisCross(predictions=str(tmp_path), classes=("VF", "GS"))
    cells = {cell.metric: cell.value for cell in protocol.cells(protocol.score(network, made_case(truth), SOURCE).rows)}
    per_class = [one.value for one in endovis.class_ious(endovis.count(found, truth, 6))]
    assert cells == {"IoU_VF": per_class[0], "IoU_GS": per_class[2], "MeanIoU": (per_class[0] + per_class[2]) / 2}
    with pytest.raises(ValueError, match="there is no class BF"):
        EndoVisCross(predictions=str(tmp_path)).score(network, made_case(truth), SOURCE)


def test_small_parts(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = True
    assert centroid(mask) == Point(3.0, 1.5)
    assert initials("Monopolar Curved Scissors") == "MCS"
    with pytest.raises(FileNotFoundError, match="DATASET/CASE"):
        read_maps(tmp_path / "nowhere", 1)
    write_maps(tmp_path / "maps", labels(0))
    with pytest.raises(ValueError, match="holds 5 maps, and 6 frames are annotated"):
        read_maps(tmp_path / "maps", 6)
    with pytest.raises(ValueError, match="other ids than classes"):
        EndoVis18(subsets=("x=nuclei/all",)).sources()
