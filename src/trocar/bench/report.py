"""`trocar bench report`: runs beside published rows, as one page and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trocar.bench.published_tables import PAPERS, known_inconsistencies
from trocar.bench.report_figures import FigureFile, flattened, read_figures
from trocar.bench.report_page import Gallery, Report, Section, SettingPart, markdown, page, shown
from trocar.bench.report_plots import plot_setting
from trocar.bench.report_results import compare, comparison_table, measured_table, scales
from trocar.bench.report_run import BenchmarkRun, read_run
from trocar.bench.report_table import Box, Line, Table
from trocar.formats.whole_file import whole_file

PLOT_SAYS = (
    "{setting}: a dot is our mean, the line through it its 95 % interval, the broad bar the middle half of the single "
    "values{rings}{hollow}."
)


def write_report(results: Sequence[Path], out: Path, title: str | None = None, partial: bool = False) -> Report:
    """Write report.html, which needs nothing but itself, and report.md.

    An average over fewer cases than the run expected is withheld, unless the run itself says that it is partial or the
    caller asks for it; then it is marked. What is missing stands at the top.

    Args:
        results: folders of runs (see `trocar.bench.results`), or JSON files of figures.
        out: the folder to write to; made if missing.
        title: of the page.
        partial: show averages over fewer cases than expected, marked.

    Raises:
        FileNotFoundError, ValueError: a result that is missing or cannot be read, or the extra `bench` is missing.
    """
    if missing := [name for name in ("jinja2", "matplotlib", "pyarrow") if find_spec(name) is None]:
        raise ValueError(f"a report needs {' and '.join(missing)}: pip install 'trocar[bench]'")
    runs = _told_apart([read_run(path) for path in results if path.is_dir()])
    tables = [read_figures(path) for path in results if not path.is_dir()]
    report = _report(runs, tables, title or "Benchmark report", partial)
    for name, text in (("report.html", page(report)), ("report.md", markdown(report))):
        with whole_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return report


def _report(runs: Sequence[BenchmarkRun], tables: Sequence[FigureFile], title: str, partial: bool) -> Report:
    by_protocol: dict[str, list[BenchmarkRun]] = {}
    for run in runs:
        by_protocol.setdefault(run.title, []).append(run)
    sections = [_section(name, own, partial, f"p{place}") for place, (name, own) in enumerate(by_protocol.items())]
    sections += [
        Section(one.title, [SettingPart("", one.tables)], details=[(one.title, one.settings)] if one.settings else [])
        for one in tables
    ]
    alerts = [f"{run.title}, {run.name}: {said}" for run in runs for said in run.shortfalls()]
    papers = {str(one["paper"]) for run in runs for one in run.record.get("published", [])}
    citations = [paper.citation for name, paper in PAPERS.items() if name in papers]
    return Report(title, sections, alerts, _contents(runs) if runs else None, citations)


def _told_apart(runs: Sequence[BenchmarkRun]) -> list[BenchmarkRun]:
    """Runs of one name and protocol get their folders' names."""
    names = [(run.title, run.name) for run in runs]
    return [replace(run, label=run.folder.name) if names.count((run.title, run.name)) > 1 else run for run in runs]


def _contents(runs: Sequence[BenchmarkRun]) -> Table:
    columns = ["Run", "Protocol", "Mode", "State", "Input px", "Cases expected", "Failed"]
    lines = []
    for run in runs:
        whole = not run.shortfalls()
        boxes = [run.name, run.title, str(run.record.get("mode") or "–"), "complete" if whole else "incomplete"]
        boxes += [str(run.record.get("network_input", "–")), str(sum(run.expected.values())), str(len(run.failures))]
        lines.append(Line([Box(text) for text in boxes], "plain" if whole else "partial"))
    return Table("Runs in this report", columns, lines, 4)


def _section(title: str, runs: Sequence[BenchmarkRun], partial: bool, name: str) -> Section:
    settings = list(dict.fromkeys(cell.setting for run in runs for cell in run.cells))
    comparisons = [compare(runs, setting) for setting in settings]
    units = scales(runs, comparisons)
    parts = []
    for place, comparison in enumerate(comparisons):
        tables = [comparison_table(comparison, units, partial)] if comparison.columns else []
        measured = (measured_table(run, comparison.setting, units, partial) for run in runs)
        tables += [table for table in measured if table is not None]
        plot = plot_setting(comparison, units, partial, f"{name}s{place}")
        says = PLOT_SAYS.format(
            setting=comparison.setting or title,
            rings="; rings are published figures" if comparison.models else "",
            hollow="; hollow dots are of runs that are not whole" if any(run.shortfalls() for run in runs) else "",
        )
        parts.append(SettingPart(comparison.setting, tables, plot, says))
    return Section(
        title,
        parts,
        [gallery for run in runs for gallery in _galleries(run)],
        [_failures(run) for run in runs if run.failures],
        _known(runs),
        [(run.name, _details(run.record)) for run in runs],
    )


def _galleries(run: BenchmarkRun) -> list[Gallery]:
    found = []
    for kind in dict.fromkeys(picture.kind for picture in run.pictures):
        pictures = [
            shown(one.path, f"{kind}: {one.case} of {one.subset}" + ("" if one.value is None else f", {one.value:.3f}"))
            for one in run.pictures
            if one.kind == kind
        ]
        found.append(Gallery(f"{kind.capitalize()} cases, {run.name}", pictures))
    return found


def _failures(run: BenchmarkRun) -> Table:
    lines = [Line([Box(case), Box(error)]) for case, error in run.failures.items()]
    return Table(f"Cases that failed, {run.name}", ["Case", "What went wrong"], lines, 2)


def _known(runs: Sequence[BenchmarkRun]) -> list[str]:
    """What is wrong in the tables that stand beside the runs, and in the texts of their papers."""
    tables = {(str(one["paper"]), str(one["table"])) for run in runs for one in run.record.get("published", [])}
    papers = {paper for paper, _ in tables}
    return [
        f"{one.paper}, {one.table if one.table.startswith('text') else f'Table {one.table}'}, {one.what}: "
        f"printed {one.printed}; recomputed {one.recomputed} ({one.verdict})."
        for one in known_inconsistencies()
        if one.paper in papers and any(name == "text" or (one.paper, name) in tables for name in one.table.split("/"))
    ]


def _details(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = {key: value for key, value in record.items() if key not in ("published", "partial")}
    return flattened(said)
