"""`trocar bench run NAME|RECIPE.toml`: a published protocol, its settings being options."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from trocar.cli.bench_memory import Commands
from trocar.cli.fields import LazyParser, add_fields, with_given
from trocar.cli.tables import print_table

if TYPE_CHECKING:
    from trocar.bench.protocol import Protocol, RunOutcome


def add_arguments(run: LazyParser, protocols: Commands) -> None:
    """Let `run` know the protocols of the table, and recipes that name one."""
    from trocar.bench.protocols import PROTOCOLS

    def complete(arguments: Sequence[str]) -> None:
        asked = arguments[0] if arguments else ""
        if asked in PROTOCOLS or asked.endswith(".toml"):
            _add_protocol(protocols.add_parser(asked), asked)
        else:  # for the list of names in the help and in messages
            from trocar.bench.protocol import protocol_class

            for name in PROTOCOLS:
                protocols.add_parser(name, help=protocol_class(name).title)

    run.complete = complete


def _add_protocol(parser: argparse.ArgumentParser, asked: str) -> None:
    from trocar.bench.protocol import protocol_class, read_protocol

    protocol = read_protocol(Path(asked)) if asked.endswith(".toml") else protocol_class(asked)()
    parser.description = sys.modules[type(protocol).__module__].__doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_fields(parser, protocol)
    parser.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    parser.add_argument("--data", type=Path, help="folder of all data sets (the one TROCAR_DATA names)")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(Path(asked).stem), help="(the protocol's name)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with its own network (1)")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N cases of each subset (all)")
    parser.add_argument("--threads", type=int, default=1, help="of each process; changes the last digits of scores (1)")
    parser.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=lambda options: run_verb(protocol, options))


def run_verb(protocol: Protocol, options: argparse.Namespace) -> int:
    """Run it, print its table, and say what keeps it from being whole."""
    from trocar.bench.protocol import RunOptions, run_protocol

    protocol = with_given(protocol, options)
    for name, value in (("--jobs", options.jobs), ("--limit", options.limit), ("--threads", options.threads)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    how = RunOptions(options.data, options.jobs, options.device, options.limit, options.threads)
    try:
        with _case_bar() as show:
            outcome = run_protocol(protocol, options.model, options.out, how, show)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"scored cases are kept in {options.out}: the same command goes on") from None
    _print(outcome, options)
    for said in outcome.partial:
        print(f"trocar: incomplete: {said}", file=sys.stderr)
    for case, error in outcome.failures.items():
        print(f"trocar: failed: {case}: {error}", file=sys.stderr)
    return 1 if outcome.partial else 0


def _print(outcome: RunOutcome, options: argparse.Namespace) -> None:
    if options.json:
        cells = [{**asdict(cell), "value": None if math.isnan(cell.value) else cell.value} for cell in outcome.cells]
        print(json.dumps({"cells": cells, "failures": outcome.failures, "partial": outcome.partial}, indent=2))
        return
    print_table(
        [
            {
                "subset": cell.subset,
                "setting": cell.setting,
                "metric": cell.metric,
                "value": f"{cell.value:.4f}",
                "95 %": "" if cell.low is None else f"{cell.low:.4f} to {cell.high:.4f}",
                "of": f"{cell.n} {cell.level}",
            }
            for cell in outcome.cells
        ]
    )
    print(options.out)


@contextmanager
def _case_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr; gives show(done, total, case)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("listing", total=None)
        yield lambda done, total, case: bars.update(task, description=case, completed=done, total=total)
