"""`trocar bench run acdc`: medical volumes, in one plane and in six directions."""

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
    acdc.add_argument("--data", type=Path, help="folder with acdc/ (the one TROCAR_DATA names)")
    acdc.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    acdc.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    acdc.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    acdc.add_argument("--json", action="store_true", help="print JSON")


def volumes(options: argparse.Namespace) -> int:
    """ACDC."""
    from rich.console import Console

    from trocar.bench.volumes import AcdcOptions, run_acdc
    from trocar.load import load

    chosen = AcdcOptions(six=not options.axial_only, volumes=options.volumes)
    with Console(stderr=True).status("scoring") as status:
        figures = run_acdc(load(options.model, options.device), options.data, chosen, status.update)
    return _show(figures | {"model": options.model}, options)


def _show(figures: dict[str, Any], options: argparse.Namespace) -> int:
    keep(figures, options.out)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table([{name: value for name, value in row.items() if name != "volumes"} for row in figures["rows"]])
    return 0
