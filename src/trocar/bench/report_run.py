"""A run's folder as a report reads it, and how many of its cases are there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trocar.bench.results import Cell

CASE_COLUMNS = ("subset", "case", "setting", "metric", "value")


@dataclass(frozen=True)
class Picture:
    """The picture of one of the best or worst cases."""

    path: Path
    case: str
    subset: str
    value: float | None
    kind: str


@dataclass(frozen=True)
class Count:
    """How many cases a number stands for, of how many."""

    done: int
    expected: int

    @property
    def whole(self) -> bool:
        return 0 < self.expected <= self.done

    def __str__(self) -> str:
        return f"{self.done} of {self.expected}"


Key = tuple[str, str, str]
"""Subset, setting, metric."""


@dataclass(frozen=True, eq=False)
class BenchmarkRun:
    """One run of a protocol, see `trocar.bench.results` for its folder.

    Attributes:
        record: run.json.
        cells: summary.json; a subset that is not among `expected` stands for all of them.
        values: the values of cases.parquet, those of one case side by side: key -> case -> values.
        failures: case -> what went wrong.
        damage: what is missing or does not add up, a sentence each.
        label: what tells it from another run of the same model and memory.
    """

    folder: Path
    record: Mapping[str, Any]
    cells: Sequence[Cell]
    values: Mapping[Key, Mapping[str, Sequence[float]]]
    failures: Mapping[str, str]
    pictures: Sequence[Picture]
    damage: Sequence[str]
    label: str = ""

    @property
    def title(self) -> str:
        """Its protocol's."""
        return str(self.record.get("title") or self.record.get("protocol") or self.folder.name)

    @property
    def name(self) -> str:
        """What tells it from other runs of its protocol."""
        memory = self.record.get("memory")
        said = f"{self.record.get('model', self.folder.name)}{f' with {memory}' if memory else ''}"
        return f"{said} ({self.label})" if self.label else said

    @property
    def expected(self) -> dict[str, int]:
        return {str(subset): int(count) for subset, count in self.record.get("expected", {}).items()}

    @property
    def marked_partial(self) -> list[str]:
        """The run's own reasons why it is not whole."""
        said = self.record.get("partial") or []
        return [str(one) for one in said] if isinstance(said, list) else ["the run is marked as partial"]

    def count(self, cell: Cell) -> Count:
        """The cases that a cell stands for; a case that failed is none."""
        expected = self.expected
        subsets = [cell.subset] if cell.subset in expected else list(expected)
        done = sum(min(self._done(subset, cell), expected[subset]) for subset in subsets)
        return Count(done, sum(expected[subset] for subset in subsets))

    def _done(self, subset: str, cell: Cell) -> int:
        """Cases with rows of the cell's metric; with any rows, where the metric is worked out from others."""
        cases = set(self.values.get((subset, cell.setting, cell.metric), {}))
        if not cases and not any(metric == cell.metric for *_, metric in self.values):
            there = (by_case for key, by_case in self.values.items() if key[:2] == (subset, cell.setting))
            cases = {case for by_case in there for case in by_case}
        return sum(case not in self.failures and f"{subset}/{case}" not in self.failures for case in cases)

    def shortfalls(self) -> list[str]:
        """Everything that keeps it from being a whole run, a sentence each."""
        cells = [cell for cell in self.cells if cell.subset in self.expected]
        short: dict[str, dict[str, str]] = {}  # setting and metric -> subset -> how many
        for cell in cells:
            if not (count := self.count(cell)).whole:
                short.setdefault(f"{cell.setting} {cell.metric}".strip(), {})[cell.subset] = f"{cell.subset} {count}"
        where: dict[str, list[str]] = {}  # the same numbers -> settings and metrics that have them
        for name, counts in short.items():
            where.setdefault(", ".join(counts.values()), []).append(name)
        everywhere = len({(cell.setting, cell.metric) for cell in cells})
        too_few = [
            f"too few cases: {counts}" + ("" if len(names) == everywhere else f" (in {_some(names)})")
            for counts, names in where.items()
        ]
        there = {cell.subset for cell in cells}
        absent = [
            f"no figures of {subset}, {count} cases" for subset, count in self.expected.items() if subset not in there
        ]
        failed = [f"{len(self.failures)} cases failed, see their list"] if self.failures else []
        return [
            *self.damage,
            *absent,
            *too_few,
            *failed,
            *self.marked_partial,
        ]


def read_run(folder: Path) -> BenchmarkRun:
    """Read a run's folder; what a run that did not finish has not written yet is named in `damage`.

    Raises:
        FileNotFoundError: there is no run.json in it.
        ValueError: one of its files cannot be read.
    """
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(f"{folder / 'run.json'} is missing: give the folder of a run, or start the run again")
    record = read_json(folder / "run.json")
    if not isinstance(record, dict) or not isinstance(record.get("expected", {}), dict):
        raise ValueError(f"{folder / 'run.json'} is not the record of a run: start the run again into a new folder")
    missing = [name for name in ("summary.json", "cases.parquet") if not (folder / name).is_file()]
    damage = [f"{name} is missing, so the run did not finish: start it again to go on" for name in missing]
    if not record.get("expected"):
        damage.append("run.json does not say how many cases were expected")
    try:
        cells = [_cell(line) for line in _list(folder / "summary.json")]
        failures = {str(line["case"]): str(line["error"]) for line in _list(folder / "failures.json")}
        pictures = [_picture(folder, line) for line in _list(folder / "pictures.json")]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds a line that is not as a run writes it ({error}): run it again") from error
    values = _values(folder / "cases.parquet")
    damage += _disagreements(cells, values) if values else []
    return BenchmarkRun(folder, record, cells, values, failures, pictures, damage)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}): write it again") from error


def _list(path: Path) -> list[dict[str, Any]]:
    lines = read_json(path) if path.is_file() else []
    if not isinstance(lines, list):
        raise ValueError(f"{path} is not a list: run it again")
    return lines


def _cell(line: Mapping[str, Any]) -> Cell:
    known = {field.name for field in fields(Cell)}
    value = math.nan if line["value"] is None else float(line["value"])
    return Cell(**{"cases": 0, **{name: item for name, item in line.items() if name in known}, "value": value})


def _picture(folder: Path, line: Mapping[str, Any]) -> Picture:
    path = folder / "pictures" / str(line["file"])
    if path.parent != folder / "pictures":
        raise ValueError(f"{folder / 'pictures.json'} names {line['file']!r}, which is outside the folder of pictures")
    value = None if line["value"] is None else float(line["value"])
    return Picture(path, str(line["case"]), str(line["subset"]), value, str(line["kind"]))


def _values(path: Path) -> dict[Key, dict[str, list[float]]]:
    if not path.is_file():
        return {}
    import pyarrow as pa  # only those who benchmark need it
    import pyarrow.parquet as pq

    try:
        lines = pq.read_table(path, columns=list(CASE_COLUMNS)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): run it again") from error
    values: dict[Key, dict[str, list[float]]] = {}
    for line in lines:
        of_case = values.setdefault((line["subset"], line["setting"], line["metric"]), {})
        of_case.setdefault(line["case"], []).append(math.nan if line["value"] is None else line["value"])
    return values


def _disagreements(cells: Sequence[Cell], values: Mapping[Key, Mapping[str, Sequence[float]]]) -> list[str]:
    """Cells of objects that stand for another number of values than there are."""
    return [
        f"{cell.subset}, {cell.setting}, {cell.metric}: the average says {cell.n} values and {cell.excluded} left out, "
        f"cases.parquet holds {there}"
        for cell in cells
        if cell.level == "objects"
        and (there := sum(map(len, values.get((cell.subset, cell.setting, cell.metric), {}).values())))
        != cell.n + cell.excluded
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
