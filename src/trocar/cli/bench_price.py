"""`trocar bench price`: what leaving work out costs in J&F, and how much work it spares."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trocar.cli.bench_memory import Commands, keep
from trocar.cli.tables import print_table


def add_arguments(what: Commands) -> None:
    """Add `price` to `bench`."""
    run = what.add_parser("price", help="what leaving work out (--economy) costs in J&F, and how much work it spares")
    run.add_argument("--choices", nargs="+", metavar="ECONOMY[/MEMORY][@PRECISION]", help="(each knob alone, and fast)")
    run.add_argument("--sets", nargs="+", choices=("scenes", "vocal folds", "absence"), help="(all)")
    run.add_argument("--clips-per-kind", type=int, default=2, help="synthetic scenes of each kind (2)")
    run.add_argument("--frames", type=int, default=16, help="of each of them (16)")
    run.add_argument("--objects", type=int, default=3, help="tracked of each clip at most (3)")
    run.add_argument("--data", type=Path, help="folder with vocalfolds/ (the one TROCAR_DATA names)")
    run.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    run.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    run.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON, again after each clip")
    run.add_argument("--markdown", action="store_true", help="print the table as it stands in the documentation")
    run.add_argument("--json", action="store_true", help="print JSON")
    run.set_defaults(run=price)


def price(options: argparse.Namespace) -> int:
    """Price it."""
    from rich.console import Console

    from trocar.bench.price import PriceOptions, markdown, measure_price, price_rows
    from trocar.load import load

    chosen = PriceOptions(
        choices=tuple(options.choices or PriceOptions.choices),
        clips_per_kind=options.clips_per_kind,
        frames=options.frames,
        objects=options.objects,
        sets=tuple(options.sets or PriceOptions.sets),
        data_folder=options.data,
    )
    network = load(options.model, options.device)
    with Console(stderr=True).status("rendering") as status:

        def report(doing: str, figures: dict[str, object]) -> None:
            status.update(doing)
            keep(figures | {"model": options.model}, options.out)

        figures = measure_price(network, chosen, report) | {"model": options.model}
    rows = price_rows(figures)
    if options.json:
        print(json.dumps(figures, indent=2))
    elif options.markdown:
        print(markdown(rows))
    else:
        print_table(rows)
    return 0
