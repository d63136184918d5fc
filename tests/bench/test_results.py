"""The cells of a table, worked out by hand, and the folder of a run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from trocar.bench.results import ResultFolder, Row, average_over_subsets, mean_cells, write_json

NAN = math.nan


def row(case: str, value: float, subset: str = "A", metric: str = "J", thing: str = "1") -> Row:
    return Row("set", subset, case, thing, "tool", "box", metric, value)


ROWS = [row("a", 0.2), row("a", 0.4, thing="2"), row("b", 0.9), row("b", NAN, thing="2"), row("c", NAN)]


def test_a_mean_over_objects_leaves_out_what_is_not_defined() -> None:
    (cell,) = mean_cells(ROWS)
    assert cell.value == pytest.approx((0.2 + 0.4 + 0.9) / 3)
    assert (cell.n, cell.excluded, cell.cases, cell.level) == (3, 2, 3, "objects")
    assert cell.low is not None
    assert cell.high is not None
    # Means of two cases drawn from a and b: 0.3 (both a), 0.9 (both b) or 0.5 (one of each).
    assert (cell.low, cell.high) == (pytest.approx(0.3), pytest.approx(0.9))


def test_a_mean_over_cases_counts_each_once() -> None:
    (cell,) = mean_cells(ROWS, "cases")
    assert cell.value == pytest.approx((0.3 + 0.9) / 2)
    assert cell.n == 2


def test_one_case_has_no_interval_and_no_score_no_mean() -> None:
    (cell,) = mean_cells([row("a", 0.2)])
    assert (cell.low, cell.high) == (None, None)
    (empty,) = mean_cells([row("a", NAN)])
    assert math.isnan(empty.value)
    assert (empty.n, empty.excluded) == (0, 1)


def test_the_order_of_rows_changes_nothing() -> None:
    assert mean_cells(ROWS) == mean_cells(ROWS[::-1])


def test_the_average_is_of_subsets_and_only_where_all_are_there() -> None:
    cells = mean_cells([*ROWS, row("d", 0.1, "B"), row("d", 0.7, "B", "F")])
    (average,) = average_over_subsets(cells, ["A", "B"])
    assert average.metric == "J"
    assert average.value == pytest.approx((0.5 + 0.1) / 2)
    assert (average.n, average.cases, average.level) == (2, 4, "subsets")
    assert average_over_subsets(cells, ["A", "B", "C"]) == []


def test_a_folder_keeps_what_it_is_given(tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path, {"model": "nano"})
    assert not folder.done("A/x/1")
    folder.add("A/x/1", ROWS, 1.5, NAN)
    assert folder.done("A/x/1")
    assert math.isnan(folder.quality("A/x/1"))
    kept = ResultFolder(tmp_path, {"model": "nano"}).rows("A/x/1")
    assert [one.value for one in kept[:3]] == [0.2, 0.4, 0.9]
    assert math.isnan(kept[3].value)
    folder.finish(kept, mean_cells(kept), {"A/y": "gone"})
    assert pq.read_table(tmp_path / "cases.parquet").to_pylist()[0]["value"] == 0.2
    assert json.loads((tmp_path / "summary.json").read_text())[0]["n"] == 3
    assert json.loads((tmp_path / "failures.json").read_text()) == [{"case": "A/y", "error": "gone"}]


def test_a_folder_never_holds_two_runs(tmp_path: Path) -> None:
    ResultFolder(tmp_path, {"model": "nano", "seed": 1})
    with pytest.raises(ValueError, match=r"holds another run \(seed differ\): name another --out"):
        ResultFolder(tmp_path, {"model": "nano", "seed": 2})


def test_nan_becomes_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [NAN, 1.0]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, 1.0]}
