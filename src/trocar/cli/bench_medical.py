"""Protocols of `trocar bench run` on medical volumes and image sets: `acdc` and `wbc`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trocar.cli.bench_memory import Commands, keep
from trocar.cli.tables import print_table


def add_arguments(protocols: Commands) -> None:
    """Add the protocols to `bench run`."""
    acdc = protocols.add_parser("acdc", help="3-D Dice on cardiac MR from one box, in one plane and in six directions")
    acdc.add_argument("--axial-only", action="store_true", help="leave the six directions out, which take the time")
    acdc.add_argument("--volumes", type=int, metavar="N", help="the first N volumes (all)")
    acdc.set_defaults(run=volumes)
    wbc = protocols.add_parser("wbc", help="Dice on white blood cells from 1, 3 and 5 prompted images")
    wbc.add_argument("--draws", type=int, default=5, help="draws of templates and orders (5)")
    wbc.add_argument("--images", type=int, metavar="N", help="the first N images (all)")
    wbc.set_defaults(run=image_set)
    for command in (acdc, wbc):
        command.add_argument("--data", type=Path, help="folder with acdc/ and wbc/ (the one TROCAR_DATA names)")
        command.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
        command.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
        command.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
        command.add_argument("--json", action="store_true", help="print JSON")


def volumes(options: argparse.Namespace) -> int:
    """ACDC."""
    from rich.console import Console

    from trocar.bench.volumes import AcdcOptions, run_acdc
    from trocar.load import load

    chosen = AcdcOptions(six=not options.axial_only, volumes=options.volumes)
    with Console(stderr=True).status("scoring") as status:
        figures = run_acdc(load(options.model, options.device), options.data, chosen, status.update)
    return _show(figures | {"model": options.model}, options)


def image_set(options: argparse.Namespace) -> int:
    """White blood cells."""
    from rich.console import Console

    from trocar.bench.one_prompt import OnePromptOptions, run_wbc
    from trocar.load import load

    chosen = OnePromptOptions(draws=options.draws, images=options.images)
    with Console(stderr=True).status("scoring") as status:
        figures = run_wbc(load(options.model, options.device), options.data, chosen, status.update)
    return _show(figures | {"model": options.model}, options)


def _show(figures: dict[str, Any], options: argparse.Namespace) -> int:
    keep(figures, options.out)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table([{name: value for name, value in row.items() if name != "volumes"} for row in figures["rows"]])
    return 0
