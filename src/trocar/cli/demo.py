"""`trocar demo`: from a box to masklets on a real surgical sequence, offline, in under a minute."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trocar.cli.fields import add_threads
from trocar.cli.run import Output, Request, run
from trocar.cli.tables import Rows, print_table


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("trocar-demo"), metavar="DIR", help="where to write (trocar-demo)"
    )
    parser.add_argument("--model", default="nano", help="see `trocar models` (nano)")
    parser.add_argument("--memory", default="recent", help="see `trocar policies` (recent)")
    add_threads(parser)
    parser.add_argument("--json", action="store_true", help="print the scores and the run's record as JSON")
    parser.set_defaults(run=demo)


def demo(options: argparse.Namespace) -> int:
    """Track the three objects of the excerpt from a box each on its first frame, and score them."""
    from trocar.bench.demo import FOLDER, NAMES, demo_prompts, demo_scores, demo_source

    request = Request(source=str(FOLDER / "frames"), model=options.model, memory=options.memory)
    record = run(request, demo_source(), demo_prompts(), Output(options.out, ("png", "overlay")))
    scores = demo_scores(options.out / "masks")
    rows: Rows = [
        {
            "object": f"{name} {NAMES[name]}",
            "J&F": f"{(one.j + one.f) / 2:.3f}",
            "J": f"{one.j:.3f}",
            "F": f"{one.f:.3f}",
        }
        for name, one in sorted((name, scores.objects[name]) for name in NAMES if name in scores.objects)
    ]
    rows.append(
        {"object": "mean", "J&F": f"{scores.j_and_f:.3f}", "J": f"{scores.j:.3f}", "F": f"{scores.f:.3f}"},
    )
    if options.json:
        print(json.dumps({"scores": rows, "run": record}, indent=2))
        return 0
    print(f"{record['source']['frames']} frames of laryngeal surgery, a box for each object on the first one:")
    print_table(rows)
    print(f"{record['frames_per_second']} frames/s end to end, peak memory {record['peak_memory_mb']} MB")
    print(f"overlay video: {options.out / 'overlay.mp4'}\nlabel maps:    {options.out / 'masks'}")
    return 0
