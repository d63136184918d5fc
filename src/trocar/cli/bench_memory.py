"""What `trocar bench` knows about memory policies: `run long-absence`, `overhead` and `bank`."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trocar.cli.run import progress_bars
from trocar.cli.tables import print_table

if TYPE_CHECKING:
    from trocar.memory import MemoryPolicy

Commands = Any
"""argparse keeps the type of what `add_subparsers` returns to itself."""


def add_arguments(protocols: Commands, what: Commands) -> None:
    """Add the protocol to `bench run` and the measurements to `bench`."""
    absence = protocols.add_parser("long-absence", help="every memory policy on scenes that ask what was remembered")
    absence.add_argument("--recipe", type=Path, help="a recipe, such as recipes/long_absence.toml (the same)")
    absence.add_argument("--out", type=Path, metavar="DIR", default=Path("long-absence"), help="(long-absence)")
    absence.set_defaults(run=long_absence)
    overhead = what.add_parser("overhead", help="what each memory policy costs, beside `recent` in one run")
    overhead.add_argument("--frames", type=int, default=100, help="frames that count (100)")
    overhead.set_defaults(run=overhead_of_policies)
    bank = what.add_parser("bank", help="what a memory holds over time: how alike its entries are, and how old")
    bank.add_argument("--box", action="append", required=True, metavar="X0,Y0,X1,Y1@FRAME", help="an object")
    bank.add_argument("--every", type=int, default=10, help="frames between two looks (10)")
    bank.add_argument("--part", choices=["memory", "mask"], default="memory", help="what is compared (memory)")
    bank.set_defaults(run=bank_over_time)
    for command in (overhead, bank):
        command.add_argument("source", help="video, volume, image, or folder of images")
        command.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
        command.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    for command in (absence, overhead, bank):
        command.add_argument("--policies", nargs="+", metavar="NAME[:key=value,...]", help="(all of `trocar policies`)")
        command.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
        command.add_argument("--json", action="store_true", help="print JSON")
    bank.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as PNG or SVG")


def long_absence(options: argparse.Namespace) -> int:
    """Scenes in which the object leaves for long, meets look-alikes, or is seen in no order."""
    from rich.console import Console

    from trocar.bench.long_absence import Recipe, run_long_absence, table_rows
    from trocar.bench.long_absence_plot import plot_long_absence
    from trocar.load import load
    from trocar.settings import read_settings

    recipe = read_settings(Recipe, options.recipe) if options.recipe else Recipe()
    if options.policies:
        recipe = replace(recipe, policies=tuple(options.policies))
    with Console(stderr=True).status("rendering") as status:
        figures = run_long_absence(
            load(recipe.model, options.device),
            recipe,
            options.out,
            lambda clip, done, total: status.update(f"clip {clip}: frame {done} of {total}"),
        )
    plot_long_absence(figures, options.out / "long-absence.png", options.out / "long-absence.svg")
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table(table_rows(figures))
        print(options.out)
    return 0


def overhead_of_policies(options: argparse.Namespace) -> int:
    """Milliseconds a frame."""
    from trocar.bench.overhead import OverheadOptions, measure_overhead
    from trocar.formats import open_source
    from trocar.load import load

    chosen = OverheadOptions(policies=_policies(options.policies), frames=options.frames)
    total = 1 + chosen.warm_up + chosen.frames
    with progress_bars() as show:
        figures = measure_overhead(
            load(options.model, options.device),
            open_source(options.source),
            chosen,
            lambda done: show("tracking", done, total),
        )
    keep(figures, options.out)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"encoding a frame takes {figures['encode_ms']['median']:.1f} ms, once for all objects")
        print_table(
            [
                {
                    "policy": name,
                    "hypotheses": one["hypotheses"],
                    "memories": one["spatial"],
                    "pointers": one["pointers"],
                    "step ms": one["step_ms"]["median"],
                    "own ms": one["policy_ms"]["median"],
                    "frame beside recent": one["frame_over_recent"]["median"],
                }
                for name, one in figures["policies"].items()
            ]
        )
    return 0


def bank_over_time(options: argparse.Namespace) -> int:
    """Similarity, mutual information and age of what is held."""
    from trocar.bench.bank_content import BankOptions, bank_content, plot_bank_content
    from trocar.formats import open_source
    from trocar.load import load
    from trocar.prompts import parse_box

    source = open_source(options.source)
    with progress_bars() as show:
        figures = bank_content(
            load(options.model, options.device),
            source,
            [parse_box(text, number) for number, text in enumerate(options.box, 1)],
            _policies(options.policies),
            BankOptions(options.part, options.every),
            lambda name, done: show(name, done, len(source)),
        )
    keep(figures, options.out)
    if options.plot:
        plot_bank_content(figures, options.plot)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table(
            [
                {"policy": name} | {column: _rounded(values[-1]) for column, values in columns.items()}
                for name, columns in figures["policies"].items()
            ]
        )
    return 0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _policies(specs: list[str] | None) -> dict[str, MemoryPolicy]:
    """Policies by the words that asked for them; all of the table where none were given."""
    from trocar.load import load_memory
    from trocar.memory import POLICIES

    return {spec: load_memory(spec) for spec in specs or POLICIES}


def keep(figures: dict[str, Any], path: Path | None) -> None:
    """Write figures as JSON, if they are to be written."""
    from trocar.formats import write_run_record

    if path is not None:
        write_run_record(path, figures)
