"""`trocar bench`: run a protocol, or measure speed, memory and what a memory policy does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trocar.cli import (
    bench_classes,
    bench_long,
    bench_medical,
    bench_memory,
    bench_price,
    bench_protocols,
    bench_recognition,
    bench_report,
    bench_speed,
    bench_startup,
)
from trocar.cli.fields import LazyParser
from trocar.cli.tables import print_table


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT", parser_class=LazyParser)
    protocol = what.add_parser("run", help="run a protocol, by its name or by a recipe (*.toml)")
    protocols = protocol.add_subparsers(dest="protocol", required=True, metavar="NAME|RECIPE.toml")
    bench_protocols.add_arguments(protocol, protocols)
    run = protocols.add_parser("nano-card", help="every figure of nano's model card")
    run.add_argument("--split", choices=["held_out", "tune"], default="held_out", help="(held_out)")
    run.add_argument("--clips-per-kind", type=int, default=4, help="scenes of each kind (4)")
    run.add_argument("--no-baselines", action="store_true", help="leave out the offline baselines (GrabCut is slow)")
    run.add_argument("--data", type=Path, help="folder with vocalfolds/ (the one TROCAR_DATA names)")
    run.add_argument("--markdown", action="store_true", help="print the table as it stands in the model card")
    run.set_defaults(run=card)
    run.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    run.add_argument("--memory", default="recent", help="see `trocar policies` (recent)")
    run.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    run.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    run.add_argument("--json", action="store_true", help="print JSON")
    bench_memory.add_arguments(protocols, what)
    bench_medical.add_arguments(protocols)
    bench_report.add_arguments(what)
    bench_classes.add_arguments(what)
    bench_recognition.add_arguments(what)
    bench_speed.add_arguments(what)
    bench_long.add_arguments(what)
    bench_startup.add_arguments(what)
    bench_price.add_arguments(what)


def card(options: argparse.Namespace) -> int:
    """Every figure of nano's model card."""
    from rich.console import Console

    from trocar.bench.nano_card import COLUMNS, CardOptions, card_table, run_card
    from trocar.load import load, load_memory

    chosen = CardOptions(
        options.split, options.clips_per_kind, baselines=not options.no_baselines, data_folder=options.data
    )
    network = load(options.model, options.device)
    with Console(stderr=True).status("scoring") as status:
        figures = run_card(network, lambda: load_memory(options.memory), chosen, status.update)
    figures |= {"model": options.model, "memory": options.memory}
    bench_memory.keep(figures, options.out)
    if options.json:
        print(json.dumps(figures, indent=2))
    elif options.markdown:
        print(card_table(figures))
    else:
        for name, result in figures["results"].items():
            print(f"{name}: {result['object_frames']} object-frames, {result['tracked_objects']} tracked objects")
            print_table([{column: row.get(column, "") for column in ("method", *COLUMNS)} for row in result["rows"]])
    return 0
