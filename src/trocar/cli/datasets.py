"""`trocar datasets`: what they are, and whether a folder holds one whole."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trocar.cli.tables import print_table

Rows = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.set_defaults(run=listed)
    parser.add_argument("--json", action="store_true", help="print JSON")
    what = parser.add_subparsers(dest="what", metavar="WHAT")
    about = what.add_parser("about", help="one data set: licence, where to get it, classes, splits, layout")
    about.add_argument("name", help="a name of `trocar datasets`")
    about.set_defaults(run=described)
    check = what.add_parser("check", help="what of a data set is there, missing or damaged")
    check.add_argument("name", help="a name of `trocar datasets`")
    check.add_argument("root", type=Path, help="its own folder")
    check.add_argument("--quick", action="store_true", help="only list the cases, without decoding them")
    check.set_defaults(run=checked)
    for command in (about, check):
        command.add_argument("--json", action="store_true", help="print JSON")


def listed(options: argparse.Namespace) -> int:
    """All data sets, real ones and rendered ones."""
    from trocar.datasets import DATASETS
    from trocar.datasets.scenes import SCENES
    from trocar.load import load_dataset

    rows: Rows = []
    for name in DATASETS:
        found = load_dataset(name)
        rows.append({"dataset": name, "frames": found.frames, "ids": found.ids, "licence": found.licence})
    rows += [{"dataset": f"scenes/{name}", "frames": "", "ids": "masklets", "licence": "rendered"} for name in SCENES]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    return 0


def described(options: argparse.Namespace) -> int:
    """Everything that is known about one."""
    from trocar.load import load_dataset

    found = load_dataset(options.name)
    facts = {
        "dataset": found.name,
        "title": found.title,
        "frames": found.frames,
        "ids": found.ids,
        "licence": found.licence,
        "obtain": found.obtain,
        "cite": found.citation,
        "classes": dict(found.classes),
        "splits": {name: asdict(split) for name, split in found.splits.items()},
        "checksums": dict(found.checksums),
        "folder": found.folder,
        "layout": found.layout,
    }
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    said = facts | {
        "classes": ", ".join(f"{number} {name}" for number, name in found.classes.items()) or "as each case says",
        "splits": "\n".join(f"{name}: {split.about}" for name, split in found.splits.items()),
        "checksums": "\n".join(f"{name} {value}" for name, value in found.checksums.items()) or "none published",
    }
    print_table([said])
    return 0


def checked(options: argparse.Namespace) -> int:
    """Look through a folder; the exit code is 2 where something is missing or damaged."""
    from rich.console import Console

    from trocar.datasets.check import check_dataset
    from trocar.load import load_dataset

    with Console(stderr=True).status("reading") as status:
        report = check_dataset(load_dataset(options.name), options.root, not options.quick, status.update)
    if options.json:
        print(json.dumps(asdict(report) | {"whole": report.whole}, indent=2))
    else:
        rows: Rows = []
        for split, cases in report.cases.items():
            problems = sum(finding.split == split for finding in report.findings)
            published = report.published[split]
            row = {"split": split, "cases": cases, "published": "?" if published is None else published}
            rows.append(row | {"frames read": report.frames[split], "problems": problems})
        print_table(rows)
        for finding in report.findings:
            print(f"{finding.split}: {finding.problem}" if finding.split else finding.problem)
    return 0 if report.whole else 2
