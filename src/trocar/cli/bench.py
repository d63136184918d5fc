"""`trocar bench`: run a protocol, or measure speed, memory and what a memory policy does."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from trocar.cli import bench_classes, bench_medical, bench_memory, bench_protocols, bench_recognition, bench_report
from trocar.cli.fields import LazyParser
from trocar.cli.run import progress_bars
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
    speed = what.add_parser("speed", help="frames per second, where the time goes, and memory over time")
    speed.add_argument("source", help="a video, which is looped")
    speed.add_argument("--frames", type=int, default=300, help="how many frames to track (300)")
    speed.add_argument("--random-network", action="store_true", help="a tiny untrained network at 64 px")
    speed.add_argument("--plot", type=Path, metavar="PNG", help="draw the memory curve")
    speed.set_defaults(run=measure)
    for command in (run, speed):
        command.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
        command.add_argument("--memory", default="recent", help="see `trocar policies` (recent)")
        command.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
        command.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
        command.add_argument("--json", action="store_true", help="print JSON")
    bench_memory.add_arguments(protocols, what)
    bench_medical.add_arguments(protocols)
    bench_report.add_arguments(what)
    bench_classes.add_arguments(what)
    bench_recognition.add_arguments(what)


def card(options: argparse.Namespace) -> int:
    """Every figure of nano's model card."""
    from rich.console import Console

    from trocar.bench.nano_card import CardOptions, card_table, run_card
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
            columns = ("method", "box", "1 click", "3 clicks", "J&F")
            print_table([{column: row.get(column, "") for column in columns} for row in result["rows"]])
    return 0


def measure(options: argparse.Namespace) -> int:
    """Speed and memory."""
    import torch

    from trocar.bench.speed import plot_curve, run_speed
    from trocar.formats import open_source
    from trocar.load import load, load_memory
    from trocar.model import Network, tiny_random

    source = open_source(options.source)
    torch.manual_seed(0)
    network = Network(tiny_random()) if options.random_network else load(options.model, options.device)
    with tempfile.TemporaryDirectory(prefix="trocar-") as out, progress_bars() as show:
        figures = run_speed(
            network,
            load_memory(options.memory),
            source,
            options.frames,
            Path(out),
            lambda done: show("tracking", done, options.frames),
        )
    bench_memory.keep(figures, options.out)
    if options.plot:
        plot_curve(figures, options.plot)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table([{name: value for name, value in figures.items() if name != "curve"}])
    return 0
