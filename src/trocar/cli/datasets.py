"""`trocar datasets`: what they are, whether a folder holds one whole, and masklets from their masks."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
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
    made = what.add_parser("masklets", help="masks of classes, or of things frame by frame, into masklets")
    made.add_argument("name", help="a name of `trocar datasets`")
    made.add_argument("root", type=Path, help="its own folder")
    made.add_argument("out", type=Path, help="folder for the masklets, a folder a case")
    made.add_argument("--split", help="(the first)")
    made.add_argument("--cases", nargs="+", default=[], metavar="CASE", help="(all of the split)")
    made.add_argument(
        "--corrections",
        action="append",
        default=[],
        metavar="CASE=FILE",
        help="corrected masks, in any format that is read, by the ids of an earlier result; give all of them each time",
    )
    made.add_argument("--settings", type=Path, metavar="TOML", help="other settings than the defaults")
    made.set_defaults(run=masklets)
    for command in (about, check, made):
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
        "splits": "\n".join(
            f"{name}: {split.about}{' (results are reported on it)' * split.reported}"
            for name, split in found.splits.items()
        ),
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


def masklets(options: argparse.Namespace) -> int:
    """Masks without a lasting identity become masklets, case by case."""
    from trocar.cli.run import progress_bars
    from trocar.datasets.masklet_files import write_masklets
    from trocar.datasets.masklets import MaskletSettings
    from trocar.formats.mask_files import read_masks
    from trocar.load import load_dataset
    from trocar.settings import read_settings

    settings = read_settings(MaskletSettings, options.settings) if options.settings else MaskletSettings()
    dataset = load_dataset(options.name)
    cases = dataset.read(options.root, options.split or next(iter(dataset.splits)))
    known = {case.name for case in cases}
    given: dict[str, list[str]] = {}
    for said in options.corrections:
        name, equals, path = said.partition("=")
        if not equals or name not in known:
            raise ValueError(f"--corrections {said}: write CASE=FILE with one of the cases, such as {cases[0].name}")
        given.setdefault(name, []).append(path)
    rows: Rows = []
    with progress_bars() as show:
        for case in (case for case in cases if not options.cases or case.name in options.cases):
            corrections = [read_masks(Path(path), source=case.open()) for path in given.get(case.name, [])]
            folder, told = options.out / case.name, partial(show, case.name)
            made = write_masklets(folder, dataset, case, settings, corrections, told)
            row = {"case": case.name, "frames": made.frames, "masklets": len(made.masklets)}
            row |= {"to review": "{} on {} frames".format(*made.flags), "unknown names": ", ".join(made.unknown_names)}
            rows.append(row | {"folder": str(folder)})
    if not rows:
        raise ValueError(f"no case is called {' or '.join(options.cases)}: they are {', '.join(sorted(known))}")
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    return 0
