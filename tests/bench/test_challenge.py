"""Cases of the SAM 2 medical benchmark: class loop, gate, rounding, spacing and pasting, each worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_cases import made_case

from trocar.bench.challenge import (
    RULES,
    case_cells,
    case_rows,
    pasted,
    quality_of,
    seed_of,
    sources_of,
    spacing_of,
    stored_boxes,
    truth_labels,
    worst_picture,
    worst_slice,
)
from trocar.bench.protocol import Source
from trocar.datasets import Case, FrameTruth
from trocar.datasets.challenge_cases import PromptedCase
from trocar.frames import ArraySource
from trocar.geometry import Geometry
from trocar.metrics.multiclass import score_case
from trocar.prompts import Box, Box3d

SOURCE = Source("CT", "cvpr24-3d", "CT")


def volume() -> np.ndarray:
    """Three slices; object 1 is 4 x 4, object 3 is 4 x 8 voxels on each, and there is no object 2."""
    labels = np.zeros((3, 16, 20), np.uint16)
    labels[:, 2:6, 2:6] = 1
    labels[:, 8:12, 4:12] = 3
    return labels


def figures(found: np.ndarray, truth: np.ndarray, mode: str) -> dict[str, float]:
    score = score_case(found, truth, (1.0, 1.0, 1.0), RULES[mode])  # type: ignore[index]
    rows = case_rows(score, made_case(truth), SOURCE, "box", mode)  # type: ignore[arg-type]
    return {row.metric: row.value for row in rows if not row.object}


def test_a_gap_in_the_numbers_makes_the_released_case_undefined_and_is_left_out_of_the_clean_one() -> None:
    truth = volume()
    released = figures(truth, truth, "released")
    assert math.isnan(released["DSC"])
    assert released["NSD"] == 0  # a mean that is not defined does not pass the gate
    assert math.isnan(released["NSD ungated"])
    assert figures(truth, truth, "clean") == {"DSC": 1, "NSD": 1, "NSD ungated": 1}


def test_a_gap_that_is_filled_wrongly_scores_nothing_in_the_released_case() -> None:
    truth = volume()
    found = truth.copy()
    found[0, 14, 14] = 2
    assert figures(found, truth, "released")["DSC"] == round(2 / 3, 4)
    assert figures(found, truth, "clean")["DSC"] == 1  # a class that only the prediction has


def test_the_gate_is_on_the_mean_over_objects_and_rounding_is_of_the_released_case() -> None:
    truth = np.where(volume() == 3, 2, volume())
    found = np.where(truth == 1, 0, 0)
    found[0][truth[0] == 2] = 2  # one of three slices: a Dice of 2 * 32 / (32 + 96), and 0 for object 1
    for mode in ("released", "clean"):
        one = figures(found, truth, mode)
        assert one["DSC"] == 0.25
        assert one["NSD"] == one["NSD ungated"] > 0
    found[0, 8:12, 8:12] = 0  # half of it: 2 * 16 / (16 + 96) = 2 / 7, so that the mean is 1 / 7
    one = figures(found, truth, "released")
    assert one["DSC"] == 0.1429
    assert one["NSD"] == 0 < one["NSD ungated"]
    assert figures(found, truth, "clean")["DSC"] == pytest.approx(1 / 7, abs=1e-12)


def test_objects_have_rows_of_their_own_that_the_table_leaves_out() -> None:
    truth = np.where(volume() == 3, 2, volume())
    found = np.where(truth == 1, 0, truth)
    score = score_case(found, truth, (1.0, 1.0, 1.0), RULES["clean"])
    rows = case_rows(score, made_case(truth), SOURCE, "box", "clean")
    own = {(row.object, row.metric): (row.value, row.status, row.label) for row in rows if row.object}
    assert own["1", "DSC"] == (0, "pred_empty", "class 1")
    assert own["2", "NSD"] == (1, "ok", "class 2")
    assert quality_of(rows) == 0.5
    cells = {cell.metric: (cell.value, cell.n, cell.level) for cell in case_cells(rows)}
    assert cells == dict.fromkeys(("DSC", "NSD", "NSD ungated"), (0.5, 1, "cases"))


def test_larger_ids_cover_smaller_ones() -> None:
    one, two = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    one[0, :3], two[0, 2:] = True, True
    assert pasted({2: two, 1: one}, one.shape)[0, :, 0].tolist() == [1, 1, 2, 2]


def test_truth_is_a_map_and_overlaps_are_refused() -> None:
    truth = volume()
    assert (truth_labels(made_case(truth)) == truth).all()
    whole = np.ones((16, 20), bool)
    overlapping = Case(
        "two", 1, lambda: ArraySource(np.zeros((1, 16, 20), np.uint8)), lambda _: FrameTruth({1: whole, 2: whole}), {}
    )
    with pytest.raises(ValueError, match="objects of two overlap on frame 0"):
        truth_labels(overlapping)


def test_stored_boxes_are_seen_from_above() -> None:
    case = made_case(volume())
    assert stored_boxes(case) == {}
    boxes = {1: Box(1, 2, 3, 4), 2: Box3d(1, 2, 0, 5, 6, 2)}
    prompted = PromptedCase(case.name, 3, case.open, case.truth, case.objects, boxes=lambda: boxes)
    assert stored_boxes(prompted) == {1: Box(1, 2, 3, 4), 2: Box(1, 2, 5, 6)}


def test_the_released_spacing_is_in_the_order_in_which_it_is_stored() -> None:
    geometry = Geometry((16, 20), (3.0, 0.5, 0.6))
    assert spacing_of(geometry, "clean") == (3.0, 0.5, 0.6)
    assert spacing_of(geometry, "released") == (0.6, 0.5, 3.0)
    assert spacing_of(Geometry((16, 20)), "released") == (1.0, 1.0, 1.0)


def test_the_worst_slice_is_the_one_whose_objects_are_found_worst() -> None:
    truth = volume()
    truth[0] = 0
    found = truth.copy()
    found[0, 14] = 1  # wrong, but nothing is to be seen there
    found[1, 2:4] = 0
    found[2, 8:12] = 1  # covered, by the wrong object
    worst = worst_slice(found, truth)
    assert worst is not None
    assert worst.frame == 2
    assert worst_slice(found, np.zeros_like(truth)) is None
    picture = worst_picture(made_case(truth).open(), found, truth)
    assert picture is not None
    assert picture.shape == (16, 20, 3)


def test_sources_must_be_of_the_protocols_kind() -> None:
    assert [source.subset for source in sources_of(("A=acdc/all",), "volume")] == ["A"]
    with pytest.raises(ValueError, match="a case of wbc is a picture: this protocol scores volumes"):
        sources_of(("A=wbc/dataset1",), "volume")
    with pytest.raises(ValueError, match="numbers the objects of each frame anew"):
        sources_of(("A=cholecinstanceseg/train",), "video")


def test_seeds_tell_keys_apart() -> None:
    assert seed_of("a", 1) == seed_of("a", 1) != seed_of("a", 2)
