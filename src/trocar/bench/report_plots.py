"""The plots of a report, as SVG that takes the colours of the page around it."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trocar.bench.report_results import Comparison, Scale, headings, is_score, may_show, named
from trocar.bench.report_run import BenchmarkRun
from trocar.bench.results import Cell

#: Colours that stand for those of the page; no other part of a plot has them.
INK, PALE = "#010203", "#040506"
OURS = ("#070809", "#0a0b0c", "#0d0e0f", "#101112")
PAGE_COLOURS = {INK: "currentColor", PALE: "var(--pale)"} | {
    colour: f"var(--run-{number})" for number, colour in enumerate(OURS, 1)
}
MARKS = "osD^"
INCHES_A_LINE = 0.42


def plot_setting(comparison: Comparison, units: Mapping[str, Scale], partial: bool, name: str) -> str | None:
    """Draw our means with their intervals, a line a subset; None where there is nothing to draw.

    A dot is a mean and the line through it its 95 % interval, the broad pale bar the middle half of the single values;
    rings are published figures of the same subset. Hollow dots are of runs that are not whole.

    Args:
        name: a word that no other plot of the page has.
    """
    columns = _columns(comparison)
    if not columns:
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 11,
        "text.color": INK,
        "axes.edgecolor": INK,
    }
    style |= {"text.parse_math": False, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    with matplotlib.rc_context(style):
        lines = len(columns) * max(1.0, 0.5 + 0.35 * len(comparison.runs))
        height = 1.0 + INCHES_A_LINE * lines + 0.2 * len(comparison.runs)
        figure, axes = pyplot.subplots(figsize=(5.2, height), layout="constrained")
        _published(axes, comparison, columns)
        for number, run in enumerate(comparison.runs):
            _ours(axes, run, number, comparison, columns, units, partial)
        _dress(figure, axes, comparison, columns, units)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return _inline(written.getvalue(), name)


def _columns(comparison: Comparison) -> list[tuple[str, str]]:
    """What is drawn: what is published too, or the first metric of every subset."""
    published = [column for column in comparison.columns if is_score(column[1])]
    if published:
        return published
    ours = [cell for run in comparison.runs for cell in run.cells if cell.setting == comparison.setting]
    scores = [cell for cell in ours if is_score(cell.metric)]
    return list(dict.fromkeys((cell.subset, cell.metric) for cell in scores if cell.metric == scores[0].metric))


def _published(axes: Any, comparison: Comparison, columns: Sequence[tuple[str, str]]) -> None:
    label: str | None = "published"
    for model in comparison.models:
        rows = [(place, comparison.published(model, column)) for place, column in enumerate(columns)]
        dots = [(row.value, place) for place, row in rows if row is not None]
        if dots:
            values, places = zip(*dots, strict=True)
            axes.plot(
                values,
                np.add(places, _lane(comparison, len(comparison.runs))),
                "o",
                mfc="none",
                mec=PALE,
                ms=6,
                mew=1.1,
                ls="",
                label=label,
                zorder=1,
            )
            label = None


def _ours(
    axes: Any,
    run: BenchmarkRun,
    number: int,
    comparison: Comparison,
    columns: Sequence[tuple[str, str]],
    units: Mapping[str, Scale],
    partial: bool,
) -> None:
    colour, mark = OURS[number % len(OURS)], MARKS[number % len(MARKS)]
    shift = _lane(comparison, number)
    cells = {(cell.subset, cell.metric): cell for cell in run.cells if cell.setting == comparison.setting}
    label: str | None = run.name
    for place, column in enumerate(columns):
        cell = cells.get(column)
        if cell is None or math.isnan(cell.value) or not may_show(run, cell, partial):
            continue
        factor = units[cell.metric].factor
        low, high = _middle_half(run, cell)
        line = {"color": colour, "solid_capstyle": "butt"}
        axes.plot([low * factor, high * factor], [place + shift] * 2, lw=9, alpha=0.25, zorder=2, **line)
        if cell.low is not None and cell.high is not None:
            ends = [cell.low * factor, cell.high * factor]
            axes.plot(ends, [place + shift] * 2, lw=1.6, marker="|", ms=7, zorder=3, **line)
        fill = colour if run.count(cell).whole else "none"
        dot = {"mfc": fill, "mec": colour, "ms": 6, "ls": "", "zorder": 4}
        axes.plot([cell.value * factor], [place + shift], mark, label=label, **dot)
        label = None


def _lane(comparison: Comparison, number: int) -> float:
    """How far from the middle of its line something is drawn: the runs one below the other, then what is published."""
    lanes = len(comparison.runs) + bool(comparison.models)
    return 0.8 / (lanes + 1) * (number - (lanes - 1) / 2)


def _middle_half(run: BenchmarkRun, cell: Cell) -> tuple[float, float]:
    """Quartiles of the single values; nothing to see where there are fewer than four."""
    by_case = run.values.get((cell.subset, cell.setting, cell.metric), {})
    values = [value for values in by_case.values() for value in values if not math.isnan(value)]
    if len(values) < 4:
        return math.nan, math.nan
    low, high = np.quantile(values, (0.25, 0.75))
    return float(low), float(high)


def _dress(
    figure: Any,
    axes: Any,
    comparison: Comparison,
    columns: Sequence[tuple[str, str]],
    units: Mapping[str, Scale],
) -> None:
    metrics = list(dict.fromkeys(metric for _, metric in columns))
    axes.set_yticks(range(len(columns)), headings(columns))
    axes.set_ylim(len(columns) - 0.5, -0.5)
    axes.set_xlabel(named(metrics, units))
    axes.set_facecolor("none")
    axes.grid(axis="x", color=PALE, lw=0.5, alpha=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=10, labelcolor=INK)


def _inline(svg: str, name: str) -> str:
    """The <svg> element alone, with the page's colours and names of its own, as wide as the page lets it be."""
    svg = svg[svg.index("<svg") :]
    for colour, of_page in PAGE_COLOURS.items():
        svg = svg.replace(colour, of_page)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    return re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
