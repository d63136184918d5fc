"""`trocar bench class-prompt-cost`: rates and memory of class models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from trocar.cli.bench_memory import Commands, keep
from trocar.cli.fields import add_fields, with_given
from trocar.cli.tables import print_table

SHOWN = ("encoder", "features", "batch", "train samples/s", "peak GB", "ask frames/s")


def add_arguments(what: Commands) -> None:
    """Add the measurement to `bench`."""
    cost = what.add_parser("class-prompt-cost", help="rate and memory of training and asking a class model")
    cost.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    cost.add_argument("--json", action="store_true", help="print JSON")
    cost.set_defaults(run=class_prompt_cost)

    def complete(arguments: Sequence[str]) -> None:
        from trocar.train.class_prompt_cost import CostOptions

        add_fields(cost, CostOptions())

    cost.complete = complete


def class_prompt_cost(options: argparse.Namespace) -> int:
    """Table 5 of SurgicalSAM, on this machine."""
    from rich.console import Console

    from trocar.train.class_prompt_cost import CostOptions, measure_costs

    with Console(stderr=True).status("measuring") as status:
        figures = measure_costs(
            with_given(CostOptions(), options),
            lambda row: status.update(f"measured {row['encoder']}, {row['features']}, batch {row['batch']}"),
        )
    keep(figures, options.out)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table([{name: row[name] for name in SHOWN} for row in figures["rows"]])
    return 0
