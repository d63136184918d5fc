"""The tables of a report: what was measured, and the same beside published rows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trocar.bench.published_checks import inconsistency_of, printed_digits
from trocar.bench.published_tables import PublishedRow
from trocar.bench.report_published import PublishedModel, in_percent, published_models, same_name
from trocar.bench.report_run import BenchmarkRun
from trocar.bench.report_table import Box, Kind, Line, Notes, Table
from trocar.bench.results import Cell

NOTHING = Box("–")
NOT_SCORES = re.compile(r"hd95|assd|fps|_mm|_ms|_px|seconds|params", re.IGNORECASE)


@dataclass(frozen=True)
class Scale:
    """In which unit a metric is shown."""

    factor: float
    digits: int

    def text(self, value: float) -> str:
        return "undefined" if math.isnan(value) else f"{value * self.factor:.{self.digits}f}"

    @property
    def unit(self) -> str:
        return "in percent" if self.factor == 100 else ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs of one protocol under one setting, and the published rows that were measured alike.

    Attributes:
        columns: (subset, metric) of ours that are published too, in our order.
        averaged: subsets that our average stands for, as `same_name` gives them.
    """

    setting: str
    runs: Sequence[BenchmarkRun]
    models: Sequence[PublishedModel]
    columns: Sequence[tuple[str, str]]
    averaged: frozenset[str]

    def published(self, model: PublishedModel, column: tuple[str, str]) -> PublishedRow | None:
        """The printed figure of a column; no average over subsets that are not ours."""
        subset, metric = map(same_name, column)
        if subset == "average" and model.members != self.averaged:
            return None
        return model.figures.get((subset, metric))


def compare(runs: Sequence[BenchmarkRun], setting: str) -> Comparison:
    """Find what is published beside those runs of one protocol that have a setting."""
    runs = [run for run in runs if any(cell.setting == setting for cell in run.cells)]
    tables = [table for run in runs for table in run.record.get("published", [])]
    models = published_models(tables, setting)
    ours = dict.fromkeys((cell.subset, cell.metric) for run in runs for cell in run.cells if cell.setting == setting)
    there = {figure for model in models for figure in model.figures}
    columns = [one for one in ours if (same_name(one[0]), same_name(one[1])) in there]
    averaged = frozenset(same_name(subset) for run in runs for subset in run.expected)
    found = Comparison(setting, runs, models, columns, averaged)
    beside: list[PublishedModel] = []
    for model in models:
        figures = {column: row.printed for column in columns if (row := found.published(model, column))}
        if figures and not any(_repeats(figures, found, other) for other in beside if _same_model(model, other)):
            beside.append(model)
    columns = [column for column in columns if any(found.published(model, column) for model in beside)]
    return Comparison(setting, runs, beside, columns, averaged)


def _same_model(one: PublishedModel, other: PublishedModel) -> bool:
    return (one.paper, one.model) == (other.paper, other.model)


def _repeats(figures: Mapping[tuple[str, str], str], found: Comparison, other: PublishedModel) -> bool:
    """Whether another row prints the same figures, and so says all that a row does."""
    rows = {column: found.published(other, column) for column in figures}
    return all((row := rows[column]) is not None and row.printed == figures[column] for column in figures)


def scales(runs: Sequence[BenchmarkRun], comparisons: Sequence[Comparison]) -> dict[str, Scale]:
    """Metric -> its unit: in percent if what stands beside the runs is, with as many digits as printed there."""
    printed: dict[str, list[PublishedRow]] = {}
    for comparison in comparisons:
        for model in comparison.models:
            for column in comparison.columns:
                if row := comparison.published(model, column):
                    printed.setdefault(column[1], []).append(row)
    percent = in_percent(row for rows in printed.values() for row in rows)
    found = {}
    for metric in dict.fromkeys(cell.metric for run in runs for cell in run.cells):
        values = [abs(cell.value) for run in runs for cell in run.cells if cell.metric == metric]
        shares = is_score(metric) and max((one for one in values if not math.isnan(one)), default=0.0) <= 1.5
        default = 3 if shares and not percent else 2
        digits = max(map(printed_digits, printed.get(metric, [])), default=default)
        found[metric] = Scale(100.0 if shares and percent else 1.0, digits)
    return found


def is_score(metric: str) -> bool:
    """Whether a metric lies between nothing and all, unlike a distance or a speed."""
    return not NOT_SCORES.search(metric)


def measured_table(run: BenchmarkRun, setting: str, units: Mapping[str, Scale], partial: bool) -> Table | None:
    """What a run measured under a setting, a line for each subset; None where it measured nothing.

    Args:
        partial: show averages over fewer cases than expected, marked, also where the run is not marked as partial.
    """
    cells = {(cell.subset, cell.metric): cell for cell in run.cells if cell.setting == setting}
    if not cells:
        return None
    metrics = list(dict.fromkeys(metric for _, metric in cells))
    levels = sorted({cell.level for cell in cells.values()} - {"subsets"})
    lines = []
    for subset in dict.fromkeys(subset for subset, _ in cells):
        own = [cells.get((subset, metric)) for metric in metrics]
        lines.append(_measured_line(run, subset, own, units, partial))
    caption = f"{run.name}{f', {setting}' if setting else ''}: means over {' and '.join(levels) or 'subsets'} of "
    return Table(caption + named(metrics, units), ["Subset", "Cases", *metrics, "n", "Left out"], lines)


def named(metrics: Sequence[str], units: Mapping[str, Scale]) -> str:
    """Metrics with their units, those of one unit side by side."""
    by_unit: dict[str, list[str]] = {}
    for metric in metrics:
        by_unit.setdefault(units[metric].unit, []).append(metric)
    return "; ".join(f"{', '.join(names)} {unit}".rstrip() for unit, names in by_unit.items())


def _measured_line(
    run: BenchmarkRun, subset: str, cells: Sequence[Cell | None], units: Mapping[str, Scale], partial: bool
) -> Line:
    first = next(cell for cell in cells if cell is not None)
    counts = [run.count(cell) for cell in cells if cell is not None]
    least = min(counts, key=lambda count: count.done)
    boxes = [Box(subset), Box(str(least), () if least.whole else ("incomplete",))]
    for cell in cells:
        box = NOTHING if cell is None else own_box(run, cell, units[cell.metric], partial)
        if cell is not None and (cell.n, cell.excluded) != (first.n, first.excluded):
            box = Box(box.text, (*box.details, f"n = {cell.n}, {cell.excluded} left out"))
        boxes.append(box)
    boxes += [Box(f"{first.n} {first.level}" if first.level == "subsets" else str(first.n)), Box(str(first.excluded))]
    return Line(boxes, "plain" if least.whole else "partial")


def own_box(run: BenchmarkRun, cell: Cell, scale: Scale, partial: bool) -> Box:
    """A number of ours with its interval: marked if cases are missing, withheld if nobody marked it as partial."""
    count = run.count(cell)
    if not may_show(run, cell, partial):
        return Box("withheld", (f"{count} cases",))
    details = [] if count.whole else [f"{count} cases"]
    if cell.low is not None and cell.high is not None:
        details.append(f"[{scale.text(cell.low)}, {scale.text(cell.high)}]")
    return Box(scale.text(cell.value), tuple(details))


def may_show(run: BenchmarkRun, cell: Cell, partial: bool) -> bool:
    """Whether an average may be printed: it is over all cases, or it is marked as partial."""
    return run.count(cell).whole or partial or bool(run.marked_partial)


def comparison_table(comparison: Comparison, units: Mapping[str, Scale], partial: bool) -> Table:
    """Our lines, then the published ones, each with where it is printed and as what."""
    notes = Notes()
    metrics = list(dict.fromkeys(metric for _, metric in comparison.columns))
    subsets = {subset for subset, _ in comparison.columns}
    lines = [_own_line(run, comparison, units, partial) for run in comparison.runs]
    lines += [_published_line(model, comparison, notes) for model in comparison.models]
    names = headings(comparison.columns)
    caption = f"{named(metrics, units)} beside published rows{f', {comparison.setting}' if comparison.setting else ''}"
    if len(subsets) == 1:
        caption = f"{next(iter(subsets))}: {caption}"
    return Table(caption, ["Model", *names], lines, 1, notes.said)


def headings(columns: Sequence[tuple[str, str]]) -> list[str]:
    """Subset and metric of each column, without what is the same in all."""
    subsets, metrics = ({column[place] for column in columns} for place in (0, 1))
    if len(metrics) == 1:
        return [subset for subset, _ in columns]
    return [metric if len(subsets) == 1 else f"{subset} {metric}" for subset, metric in columns]


def _own_line(run: BenchmarkRun, comparison: Comparison, units: Mapping[str, Scale], partial: bool) -> Line:
    cells = {(cell.subset, cell.metric): cell for cell in run.cells if cell.setting == comparison.setting}
    mode = ", ".join(str(one) for one in (run.record.get("mode"), comparison.setting) if one)
    boxes = [Box(run.name, _source("this report", mode, str(run.record.get("network_input", ""))))]
    boxes += [
        own_box(run, cells[column], units[column[1]], partial) if column in cells else NOTHING
        for column in comparison.columns
    ]
    whole = all(run.count(cells[column]).whole for column in comparison.columns if column in cells)
    kind: Kind = "ours" if whole else "partial"
    return Line(boxes, kind)


def _published_line(model: PublishedModel, comparison: Comparison, notes: Notes) -> Line:
    where = "text" if model.table == "text" else f"Table {model.table}"
    boxes = [Box(model.model, _source(f"{model.paper}, {where}", model.setting, model.input_px))]
    for column in comparison.columns:
        row = comparison.published(model, column)
        if row is None:
            other = same_name(column[0]) == "average" and bool(model.members)
            note = f"The average of {model.paper}, {where}, is over other subsets than ours."
            boxes.append(Box("–", (), (notes.number(note),)) if other else NOTHING)
            continue
        wrong = inconsistency_of(row)
        said = wrong and (
            f"{model.paper}, {where}, {wrong.what}: printed {wrong.printed}, its other figures give {wrong.recomputed} "
            f"({wrong.verdict})."
        )
        boxes.append(Box(printed(row), (), (notes.number(said),) if said else ()))
    return Line(boxes, "published")


def _source(where: str, setting: str, input_px: str) -> tuple[str, ...]:
    return tuple(one for one in (where, setting, f"{input_px} px" if input_px else "input size not given") if one)


def printed(row: PublishedRow) -> str:
    """A figure with as many digits as its table prints of the metric."""
    return f"{row.value:.{printed_digits(row)}f}"
