"""`trocar bench long`: whether an hour of video costs what a minute costs."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from trocar.cli.bench_memory import Commands, keep
from trocar.cli.run import progress_bars
from trocar.cli.tables import print_table


def add_arguments(what: Commands) -> None:
    """Add `long` to `bench`."""
    run = what.add_parser("long", help="an hour of video: memory and time a frame, from the first to the last")
    run.add_argument("source", help="a video, which is looped")
    run.add_argument("--frames", type=int, default=90_000, help="how many frames to track (90000)")
    run.add_argument("--objects", type=int, default=1, help="how many objects (1)")
    run.add_argument("--every", type=int, default=1000, help="frames that make one point of the curve (1000)")
    run.add_argument("--side", type=int, metavar="PX", help="shrink decoded frames to this longer side (as they are)")
    run.add_argument("--keep-snapshots", action="store_true", help="all, as a session that may be corrected does")
    run.add_argument("--random-network", action="store_true", help="a tiny untrained network at 64 px")
    run.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    run.add_argument("--memory", default="recent", help="see `trocar policies` (recent)")
    run.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    run.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    run.add_argument("--plot", type=Path, metavar="PNG", help="draw the curve")
    run.add_argument("--json", action="store_true", help="print JSON")
    run.set_defaults(run=long_run)


def long_run(options: argparse.Namespace) -> int:
    """Run it, and say how the ends compare."""
    import torch

    from trocar.bench.long_run import LongRun, plot_long_run, run_long
    from trocar.formats import open_source
    from trocar.load import load, load_memory
    from trocar.model import Network, tiny_random

    asked = LongRun(
        options.frames,
        options.objects,
        options.every,
        options.side,
        None if options.keep_snapshots else LongRun.snapshots_kept,
    )
    memory = load_memory(options.memory)
    source = open_source(options.source)
    torch.manual_seed(0)
    network = Network(tiny_random()) if options.random_network else load(options.model, options.device)
    with tempfile.TemporaryDirectory(prefix="trocar-") as out, progress_bars() as show:
        figures = run_long(
            network, memory, source, Path(out), asked, lambda done: show("tracking", done, options.frames)
        )
    figures["memory"] = options.memory
    keep(figures, options.out)
    if options.plot and figures["curve"]["frames"]:
        plot_long_run(figures, options.plot)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table([{name: value for name, value in figures.items() if name != "curve"}])
    return 0
