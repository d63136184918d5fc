"""`trocar bench speed`: frames a second over a matrix of networks, sizes, objects, policies, devices and modes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from trocar.cli.bench_memory import Commands, keep
from trocar.cli.fields import add_fields, with_given
from trocar.cli.run import progress_bars
from trocar.cli.tables import Rows, print_table


def add_arguments(what: Commands) -> None:
    """Add `speed` to `bench`."""
    parser = what.add_parser("speed", help="frames per second, where the time goes, and peak memory, over a matrix")

    def complete(arguments: Sequence[str]) -> None:
        from trocar.bench.speed import SpeedMatrix

        parser.add_argument(
            "source", nargs="?", help="a video, which is looped (the packaged sequence, written as one)"
        )
        parser.add_argument("--matrix", type=Path, metavar="FILE.toml", help="settings; those given here go before it")
        add_fields(parser, SpeedMatrix())
        parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
        parser.add_argument("--plot", type=Path, metavar="FILE", help="draw where the time goes, as PNG or SVG")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=speed)

    parser.complete = complete


def speed(options: argparse.Namespace) -> int:
    """Measure every cell, and print a line for each."""
    from trocar.bench.speed import SpeedMatrix, run_matrix, table_rows
    from trocar.bench.speed_plot import plot_matrix
    from trocar.settings import read_settings

    matrix = with_given(read_settings(SpeedMatrix, options.matrix) if options.matrix else SpeedMatrix(), options)
    video = None if options.source is None else Path(options.source)
    with progress_bars() as show:
        figures = run_matrix(matrix, video, lambda done, total: show("measuring", done, total))
    keep(figures, options.out)
    if options.plot:
        plot_matrix(figures, options.plot)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(table_rows(figures))
    return 0


def _print(rows: Rows) -> None:
    """What all cells share in a line, and the rest as a table."""
    shared = {name: rows[0][name] for name in rows[0] if len(rows) > 1 and len({row[name] for row in rows}) == 1}
    if shared:
        print("; ".join(f"{name}: {value}" for name, value in shared.items()))
    print_table([{name: value for name, value in row.items() if name not in shared} for row in rows])
