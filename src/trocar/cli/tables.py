"""The verbs that list things: info, models, policies, formats."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from trocar.cli.source import add_source_options, asked_of_source, open_asked

Rows = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    if verb == "info":
        parser.add_argument("source", help="video, volume, image, or folder of images or DICOM files")
        add_source_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    if verb == "policies":
        parser.add_argument("name", nargs="?", help="one of them, to be shown with its knobs")
        parser.set_defaults(run=policies)
    else:
        parser.set_defaults(run=lambda options: _show(TABLES[verb](options), options.json))


def info(options: argparse.Namespace) -> Rows:
    """What a source is."""
    source = open_asked(options.source, asked_of_source(options))
    rows, columns = source.geometry.size
    facts: dict[str, Any] = {"name": source.name, "frames": len(source), "rows": rows, "columns": columns}
    if source.rate_hz:
        facts |= {"frames_per_second": round(source.rate_hz, 3), "seconds": round(len(source) / source.rate_hz, 2)}
    if source.geometry.spacing_mm:
        facts["spacing_mm"] = [round(value, 4) for value in source.geometry.spacing_mm]
    if source.geometry.affine is not None:
        facts["affine"] = source.geometry.affine.tolist()
    if preparation := getattr(source, "preparation", None):
        facts["preparation"] = preparation
    return [facts]


def models(options: argparse.Namespace) -> Rows:
    """The table of networks; `weights` is a repository on Hugging Face, `here` whether they are on this machine."""
    from trocar.model.registry import MODELS, find_weights

    def here(name: str) -> bool:
        try:
            find_weights(name)
        except FileNotFoundError:
            return False
        return True

    return [
        {
            "model": name,
            "params_M": entry.parameters,
            "MB": entry.megabytes,
            "input": entry.config.image_size,
            "licence": entry.licence,
            "here": here(name),
            "weights": entry.repository or "in the package",
        }
        for name, entry in MODELS.items()
    ]


def policies(options: argparse.Namespace) -> int:
    """The memory policies, or one of them with its knobs."""
    from trocar.load import UnknownName
    from trocar.memory import POLICIES
    from trocar.memory.description import describe
    from trocar.memory.knobs import as_text

    if options.name is not None and options.name not in POLICIES:
        raise UnknownName("memory policy", options.name, POLICIES)
    found = {name: describe(policy) for name, policy in POLICIES.items() if options.name in (None, name)}
    if options.json:
        rows = [{"policy": name, **asdict(policy)} for name, policy in found.items()]
        for row in rows:
            row["knobs"] = [
                {"knob": knob.name, "takes": knob.accepts, "default": knob.default, "meaning": knob.meaning}
                for knob in found[row["policy"]].knobs
            ]
        print(json.dumps(rows, indent=2))
        return 0
    console = Console(markup=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, policy in found.items():
        table.add_row(name, "", policy.about)
        facts = {"paper": policy.paper, "reads": policy.reads, "keeps": policy.keeps, "masks": policy.masks}
        facts["modes"] = ", ".join(policy.modes)
        if options.name:
            facts |= {"remarks": "\n".join(policy.remarks), "notes": "\n".join(policy.notes)}
        else:  # one sentence each, so that the table stays short
            facts = {fact: re.split(r"(?<=\.) (?=[A-Z])", said)[0] for fact, said in facts.items()}
        for fact, said in facts.items():
            if said:
                table.add_row("", fact, said)
        table.add_row()
    console.print(table)
    if options.name:
        knobs = Table(show_header=False, box=None, pad_edge=False)
        for knob in found[options.name].knobs:
            knobs.add_row(f"{knob.name}={as_text(knob.default)}", f"{knob.meaning} Takes {knob.accepts}.")
        console.print(knobs)
    return 0


def formats(options: argparse.Namespace) -> Rows:
    """The file formats."""
    from trocar.formats import FORMATS

    return [
        {
            "format": name,
            "source": entry.open is not None,
            "masks_in": entry.read_masks is not None,
            "masks_out": entry.writes,
            "endings": " ".join(entry.extensions),
            "about": entry.about,
        }
        for name, entry in FORMATS.items()
    ]


TABLES: dict[str, Callable[[argparse.Namespace], Rows]] = {
    "info": info,
    "models": models,
    "formats": formats,
}


def _show(rows: Rows, as_json: bool) -> int:
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    return 0


def print_table(rows: Rows) -> None:
    """One line a row, or one line a fact where there is one row only."""
    table = Table(show_header=len(rows) > 1, box=None, pad_edge=False)
    if len(rows) == 1:
        for name, value in rows[0].items():
            table.add_row(name, str(value))
    else:
        for number, name in enumerate(rows[0]):
            table.add_column(name.replace("_", " "), overflow="fold", no_wrap=number == 0)
        for row in rows:
            table.add_row(*("yes" if value is True else "" if value is False else str(value) for value in row.values()))
    Console().print(table)
