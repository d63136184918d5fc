"""The verbs that list things: info, models, policies, formats, datasets."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

Rows = list[dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    if verb == "info":
        parser.add_argument("source", help="video, NIfTI volume, image, or folder of images")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=lambda options: _show(TABLES[verb](options), options.json))


def info(options: argparse.Namespace) -> Rows:
    """What a source is."""
    from trocar.formats import open_source

    source = open_source(options.source)
    rows, columns = source.geometry.size
    facts: dict[str, Any] = {"name": source.name, "frames": len(source), "rows": rows, "columns": columns}
    if source.rate_hz:
        facts |= {"frames_per_second": round(source.rate_hz, 3), "seconds": round(len(source) / source.rate_hz, 2)}
    if source.geometry.spacing_mm:
        facts["spacing_mm"] = [round(value, 4) for value in source.geometry.spacing_mm]
    if source.geometry.affine is not None:
        facts["affine"] = source.geometry.affine.tolist()
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


def policies(options: argparse.Namespace) -> Rows:
    """The memory policies with the first sentence of their file's head."""
    from trocar.memory import POLICIES

    modules = {name: inspect.getmodule(policy) for name, policy in POLICIES.items()}
    heads = {name: (module.__doc__ or "").partition("\n\n")[0] for name, module in modules.items() if module}
    return [{"policy": name, "about": " ".join(head.partition(": ")[2].split())} for name, head in heads.items()]


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


def datasets(options: argparse.Namespace) -> Rows:
    """The data sets."""
    from trocar.datasets import DATASETS
    from trocar.datasets.scenes import SCENES

    real = [{"dataset": name, "kind": "files in the folder that TROCAR_DATA names"} for name in DATASETS]
    return real + [{"dataset": f"scenes/{name}", "kind": "synthetic, from a seed"} for name in SCENES]


TABLES: dict[str, Callable[[argparse.Namespace], Rows]] = {
    "info": info,
    "models": models,
    "policies": policies,
    "formats": formats,
    "datasets": datasets,
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
