"""`trocar recognize VIDEO`: which phase, action, instrument or finding a video shows, and when."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trocar.cli.fields import add_threads


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("video", help="a video, or a folder of its frames")
    parser.add_argument("--model", type=Path, required=True, help="a recognizer, see `trocar bench recognition`")
    parser.add_argument("--out", type=Path, metavar="CSV", required=True, help="where the events go")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the events and probabilities over time")
    parser.add_argument("--step", type=int, default=8, help="frames from one clip to the next (8)")
    parser.add_argument("--stride", type=int, help="frames from one that is looked at to the next (as in training)")
    parser.add_argument("--smooth", type=int, default=3, help="clips that probabilities are averaged over, odd (3)")
    parser.add_argument("--batch", type=int, default=8, help="clips that are computed at once (8)")
    parser.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    add_threads(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=recognize)


def recognize(options: argparse.Namespace) -> int:
    """Slide over the video, write its events, and say what they are."""
    from trocar.cli.run import progress_bars
    from trocar.cli.tables import print_table
    from trocar.formats import open_source
    from trocar.load import best_device
    from trocar.recognition.recognizer import open_recognizer
    from trocar.recognition.timeline import Sliding, events, slide, write_events

    if options.plot and options.plot.suffix.lower() != ".png":
        raise ValueError(f"{options.plot} must end in .png")
    sliding = Sliding(options.step, options.stride, options.smooth, options.batch)
    recognizer = open_recognizer(options.model, options.device or best_device())
    source, question = open_source(options.video), recognizer.question
    with progress_bars() as show:
        answers = slide(recognizer, source, sliding, show)
    found = events(answers, question.classes, len(source), source.rate_hz)
    write_events(options.out, found)
    if options.plot:
        from trocar.recognition.timeline_plot import plot_timeline

        plot_timeline(options.plot, found, answers, question.classes, f"{Path(source.name).name}: {question.task}")
    record: dict[str, Any] = {
        "video": source.name,
        "frames": len(source),
        "frames_per_second": source.rate_hz,
        "task": question.task,
        "classes": list(question.classes),
        "clips": len(answers.middles),
        "events": [asdict(one) for one in found],
        "outputs": [str(path) for path in (options.out, options.plot) if path],
    }
    if options.json:
        print(json.dumps(record, indent=2))
    else:
        print_table([_in_words(one) for one in record["events"]])
    return 0


def _in_words(event: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in event.items()}
