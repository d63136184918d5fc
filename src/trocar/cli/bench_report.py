"""`trocar bench report`: runs and older figures as one page, beside published rows."""

from __future__ import annotations

import argparse
from pathlib import Path

from trocar.cli.bench_memory import Commands


def add_arguments(what: Commands) -> None:
    """Add `report` to `bench`."""
    report = what.add_parser("report", help="runs beside published rows, as one HTML page and as Markdown")
    report.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="a run's folder, or a JSON of figures")
    report.add_argument("--out", type=Path, metavar="DIR", default=Path("report"), help="(report)")
    report.add_argument("--title", help="of the page (Benchmark report)")
    report.add_argument(
        "--partial", action="store_true", help="show averages over fewer cases than expected, marked as partial"
    )
    report.set_defaults(run=write)


def write(options: argparse.Namespace) -> int:
    """Write the page, and say what is missing from it."""
    from rich.console import Console

    from trocar.bench.report import write_report

    report = write_report(options.results, options.out, options.title, options.partial)
    for said in report.alerts:
        Console(stderr=True).print(f"incomplete: {said}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    print(options.out / "report.html")
    return 0
