"""Results of a protocol: rows of scores, the cells of its table, and the folder that holds them.

A run's folder: `run.json` (everything that is needed to repeat it), `cases/` (one file a case, written when the case is
done, from which a run that is started again goes on), then `cases.parquet` (all rows), `summary.json` (the cells),
`timings.json` (how fast each case went; which differs from run to run), `failures.json` and `pictures/`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trocar.formats.whole_file import whole_file

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Row:
    """One score.

    Args:
        dataset: a name of `DATASETS`.
        subset: the column of the protocol's table that it belongs to, such as "EV17" or "CT".
        case: the case's name.
        object: which object of it; "" for the case as a whole.
        label: the object's class name.
        setting: the row of the table, such as "3-click".
        metric: such as "J&F".
        value: NaN where the metric is not defined.
        status: as in `trocar.metrics.Score`; "ok" where nothing was empty.
    """

    dataset: str
    subset: str
    case: str
    object: str
    label: str
    setting: str
    metric: str
    value: float
    status: str = "ok"


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Args:
        subset, setting, metric: where it stands.
        value: the mean.
        n: how many values it is the mean of.
        excluded: how many were left out, since the metric is not defined for them.
        low, high: bounds of the 95 % interval; None where one case alone says nothing of the spread.
        level: what the values are of: "objects", "frames", "classes", "cases" or "subsets".
        cases: how many cases the values come from.
    """

    subset: str
    setting: str
    metric: str
    value: float
    n: int
    excluded: int
    low: float | None
    high: float | None
    level: Literal["objects", "frames", "classes", "cases", "subsets"]
    cases: int


def mean_cells(rows: Iterable[Row], level: Literal["objects", "cases"] = "objects") -> list[Cell]:
    """The mean of every (subset, setting, metric), in the order in which they come.

    With "objects" every row counts once; with "cases" the rows of a case are averaged first. NaN are left out and
    counted. Intervals are percentiles of 10,000 means of cases drawn with replacement (seed 0), since the objects of
    one case are alike.
    """
    groups: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in rows:
        groups.setdefault((row.subset, row.setting, row.metric), {}).setdefault(row.case, []).append(row.value)
    return [_cell(key, by_case, level) for key, by_case in groups.items()]


def _cell(key: tuple[str, str, str], by_case: Mapping[str, list[float]], level: Literal["objects", "cases"]) -> Cell:
    excluded = sum(math.isnan(value) for values in by_case.values() for value in values)
    kept = [[value for value in values if not math.isnan(value)] for _, values in sorted(by_case.items())]
    kept = [values for values in kept if values]
    if level == "cases":
        kept = [[float(np.mean(values))] for values in kept]
    sums = np.array([sum(values) for values in kept])
    counts = np.array([len(values) for values in kept])
    value = float(sums.sum() / counts.sum()) if len(kept) else math.nan
    low, high = _interval(sums, counts)
    return Cell(*key, value, int(counts.sum()), excluded, low, high, level, len(by_case))


def _interval(sums: NDArray[Any], counts: NDArray[Any]) -> tuple[float | None, float | None]:
    if len(sums) < 2:
        return None, None
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def average_over_subsets(cells: Sequence[Cell], subsets: Sequence[str], name: str = "Average") -> list[Cell]:
    """The plain mean of the subsets' cells, for every setting and metric that all of `subsets` have."""
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        found.setdefault((cell.setting, cell.metric), {})[cell.subset] = cell
    return [
        Cell(
            name,
            setting,
            metric,
            float(np.mean([by_subset[one].value for one in subsets])),
            len(subsets),
            0,
            None,
            None,
            "subsets",
            sum(by_subset[one].cases for one in subsets),
        )
        for (setting, metric), by_subset in found.items()
        if all(one in by_subset for one in subsets)
    ]


class ResultFolder:
    """The folder of one run.

    Args:
        path: where; made if missing.
        settings: everything that decides what comes out. A folder begun with other settings is refused, so that one
            table never holds scores of two runs.

    Raises:
        ValueError: the folder holds another run.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        (path / "cases").mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(settings))
        record = path / "settings.json"
        if record.is_file():
            held = json.loads(record.read_text(encoding="utf-8"))
            if held != wanted:
                differing = sorted(key for key in {*held, *wanted} if held.get(key) != wanted.get(key))
                raise ValueError(f"{path} holds another run ({', '.join(differing)} differ): name another --out folder")
        else:
            write_json(record, wanted)

    def _file(self, case: str) -> Path:
        return self.path / "cases" / f"{case.replace('/', '~')}.json"

    def done(self, case: str) -> bool:
        return self._file(case).is_file()

    def add(
        self, case: str, rows: Sequence[Row], seconds: float, quality: float, timings: Mapping[str, Any] | None = None
    ) -> None:
        """Keep what a case gave."""
        kept = {"rows": [asdict(row) for row in rows], "quality": quality}
        write_json(self._file(case), {**kept, "timings": {"seconds": seconds, **(timings or {})}})

    def timings(self, case: str) -> dict[str, Any]:
        """How long the case took, and what else its protocol measured by the clock."""
        return dict(self._read(case)["timings"])

    def rows(self, case: str) -> list[Row]:
        rows = self._read(case)["rows"]
        return [Row(**{**row, "value": math.nan if row["value"] is None else row["value"]}) for row in rows]

    def quality(self, case: str) -> float:
        """How good the case's result is, by its protocol's first metric; NaN where that says nothing."""
        value = self._read(case)["quality"]
        return math.nan if value is None else float(value)

    def picture(self, case: str) -> Path:
        """Where the case's picture is, if it has one."""
        return self.path / "cases" / f"{case.replace('/', '~')}.png"

    def _read(self, case: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self._file(case).read_text(encoding="utf-8"))
        return read

    def finish(self, rows: Sequence[Row], cells: Sequence[Cell], failures: Mapping[str, str]) -> None:
        """Write the table of rows, the cells and the failures."""
        import pyarrow as pa  # only those who benchmark need it
        import pyarrow.parquet as pq

        with whole_file(self.path / "cases.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), temporary)
        write_json(self.path / "summary.json", [asdict(cell) for cell in cells])
        write_json(self.path / "failures.json", [{"case": case, "error": said} for case, said in failures.items()])


def write_json(path: Path, value: object) -> None:
    """Write JSON that appears when it is whole; NaN becomes null."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
