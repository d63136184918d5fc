"""`trocar bench startup`: from a command to its help, and to its first mask."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trocar.cli.bench_memory import Commands, keep
from trocar.cli.run import progress_bars
from trocar.cli.tables import print_table


def add_arguments(what: Commands) -> None:
    """Add `startup` to `bench`."""
    startup = what.add_parser("startup", help="seconds until help is shown, and until a first mask is on disk")
    startup.add_argument("--runs", type=int, default=7, help="how often, after one warm-up (7)")
    startup.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    startup.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    startup.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    startup.add_argument("--json", action="store_true", help="print JSON")
    startup.set_defaults(run=start_up)


def start_up(options: argparse.Namespace) -> int:
    """Measure, and print a line for each command."""
    from trocar.bench.startup import StartUp, measure_start_up

    asked = StartUp(options.runs, options.model, options.device)
    with progress_bars() as show:
        figures = measure_start_up(asked, lambda done, total: show("starting", done, total))
    keep(figures, options.out)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table([{"command": name, **seconds} for name, seconds in figures["seconds"].items()])
    return 0
