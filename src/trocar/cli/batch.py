"""`trocar batch`: the sources of a table, one after the other or many at once, each as `trocar segment` does it."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from trocar.cli.batch_item import Item, Outcome, kept
from trocar.cli.batch_local import run_locally, slots
from trocar.cli.batch_manifest import COLUMNS, BadManifest, read_items
from trocar.cli.batch_ray import run_on_ray
from trocar.cli.segment import add_item_options

SUMMARY = "summary.csv"
FIELDS = ("item", "status", "frames", "seconds", "error")
OWN = ("manifest", "out", "jobs", "ray", "json", "run", "verb", "object_id", "version")
"""Options of the verb itself; all others are those of `trocar segment`."""


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("manifest", type=Path, help=f".csv or .parquet with the columns {', '.join(COLUMNS)}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder in it for each item")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (one a GPU, else one a processor)")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on this Ray cluster: HOST:PORT, or auto")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    group = parser.add_argument_group("all items", "the options of `trocar segment`, before those of a row")
    group.set_defaults(run=batch)
    add_item_options(parser)


def batch(options: argparse.Namespace) -> int:
    """Check the manifest, run what is not done yet, and say what failed."""
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"--jobs must be 1 or more, not {options.jobs}")
    if options.jobs is not None and options.ray:
        raise ValueError("--jobs is for this machine: a Ray cluster runs as many as it has processors or GPUs for")
    shared = argparse.Namespace(**{name: value for name, value in vars(options).items() if name not in OWN})
    try:
        items = read_items(options.manifest, options.out, shared)
    except BadManifest as error:
        for where, fault in error.faults:
            print(f"trocar: {where}: {fault}", file=sys.stderr)
        raise
    outcomes = {item.name: Outcome(item.name, "waiting") for item in items}
    outcomes |= {item.name: before for item in items if (before := kept(item))}
    todo = [item for item in items if outcomes[item.name].status == "waiting"]
    try:
        with _bar(len(items), len(items) - len(todo)) as show, closing(_started(todo, options)) as made:
            for outcome in made:
                outcomes[outcome.item] = outcome
                show(outcome.item)
                for note in outcome.notes:
                    print(f"trocar: note: {outcome.item}: {note}", file=sys.stderr)
    except KeyboardInterrupt:
        left = sum(one.status == "waiting" for one in outcomes.values())
        message = f"{len(items) - left} of {len(items)} items are in {options.out}: the same command goes on"
        raise KeyboardInterrupt(message) from None
    finally:
        _write_summary(options.out / SUMMARY, list(outcomes.values()))
    return _told(list(outcomes.values()), options)


def _started(todo: Sequence[Item], options: argparse.Namespace) -> Generator[Outcome]:
    """The outcomes of what is to be done."""
    if not todo:
        return
    if options.ray:
        yield from run_on_ray(todo, options.ray, options.device)
        return
    from trocar.load import best_device

    yield from run_locally(todo, slots(options.device or best_device(), options.jobs))


def _write_summary(path: Path, outcomes: Sequence[Outcome]) -> None:
    from trocar.formats.whole_file import whole_file

    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(one) for one in outcomes)


def _told(outcomes: Sequence[Outcome], options: argparse.Namespace) -> int:
    """Print how it went; 1 if something failed."""
    failed = [one for one in outcomes if one.status == "failed"]
    if options.json:
        print(json.dumps([{name: asdict(one)[name] for name in FIELDS} for one in outcomes], indent=2))
        return 1 if failed else 0
    now = [one for one in outcomes if one.status == "done"]
    before = len(outcomes) - len(now) - len(failed)
    print(f"{len(now)} items done, {before} done before, {len(failed)} failed; {options.out / SUMMARY}")
    for one in failed:
        print(f"trocar: failed: {one.item}: {one.error}", file=sys.stderr)
    return 1 if failed else 0


@contextmanager
def _bar(total: int, before: int) -> Iterator[Callable[[str], None]]:
    """A bar on stderr over the items, with the time left; gives show(an item that is done)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("batch", total=total, completed=before)
        yield lambda item: bars.update(task, description=item, advance=1)
