"""Figures of benchmarks that write one JSON file: their rows as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trocar.bench.report_run import read_json
from trocar.bench.report_table import Box, Line, Table

ASIDE = ("machine", "versions", "recipe", "settings")
"""Parts that say how a benchmark was run, not what came out."""


@dataclass(frozen=True)
class FigureFile:
    """A JSON file of figures.

    Attributes:
        title: the protocol, or the file's name.
        settings: (name, value) of what says how it was run.
    """

    title: str
    tables: list[Table]
    settings: list[tuple[str, str]]


def read_figures(path: Path) -> FigureFile:
    """Read a JSON file that `trocar bench` wrote with --out.

    Lists of rows, and mappings of names to rows, become tables; single numbers and words become the settings, or a
    table where there is no other; curves are left out.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or no figures in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give a run's folder, or a JSON file of figures")
    figures = read_json(path)
    if not isinstance(figures, dict):
        raise ValueError(f"{path} holds no figures: give a JSON file that `trocar bench` wrote")
    tables = list(_tables({key: value for key, value in figures.items() if key not in ASIDE}, ""))
    settings = flattened(figures)
    if not settings and not tables:
        raise ValueError(f"{path} holds no figures: give a JSON file that `trocar bench` wrote")
    if not tables:
        lines = [Line([Box(name), Box(value)]) for name, value in settings]
        tables, settings = [Table(path.stem, ["Figure", "Value"], lines)], []
    return FigureFile(str(figures.get("protocol", path.stem)), tables, settings)


def flattened(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """(dotted name, text) of the single values in nested mappings; rows and curves are left out."""
    found = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            if prefix or key in ASIDE or not any(isinstance(one, Mapping) for one in item.values()):
                found += flattened(item, f"{prefix}{key}.")
        elif not isinstance(item, list):
            found.append((f"{prefix}{key}", _text(item)))
        elif len(item) <= 20 and not any(isinstance(one, list | Mapping) for one in item):
            found.append((f"{prefix}{key}", ", ".join(map(_text, item))))
    return found


def _tables(value: Mapping[str, Any], path: str) -> Iterator[Table]:
    for key, item in value.items():
        name = f"{path}{key}"
        if isinstance(item, list) and item and all(isinstance(one, Mapping) for one in item):
            yield _table(name, [dict(_boxes(one)) for one in item])
        elif isinstance(item, Mapping):
            rows = list(item.values())
            if rows and all(isinstance(row, Mapping) and not _holds_rows(row) for row in rows):
                yield _table(name, [{key: str(label)} | dict(_boxes(row)) for label, row in item.items()])
            else:
                yield from _tables(item, "" if key == "results" else f"{name}, ")


def _holds_rows(row: Mapping[str, Any]) -> bool:
    return any(isinstance(one, list) and one and isinstance(one[0], Mapping) for one in row.values())


def _boxes(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(name, value) of a row's boxes: single values, and those of mappings that hold nothing else."""
    found: list[tuple[str, Any]] = []
    for key, item in row.items():
        if isinstance(item, Mapping):
            if not any(isinstance(one, list | Mapping) for one in item.values()):
                found += [(f"{key} {name}", one) for name, one in item.items()]
        elif not isinstance(item, list):
            found.append((key, item))
    return found


def _table(caption: str, rows: list[dict[str, Any]]) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in columns if any(row.get(name) not in (None, "") for row in rows)]
    are_words = [any(isinstance(row.get(name), str) for row in rows) for name in columns]
    columns = [name for name, words in zip(columns, are_words, strict=True) if words] + [
        name for name, words in zip(columns, are_words, strict=True) if not words
    ]
    lines = [Line([Box(_text(row.get(name, ""))) for name in columns]) for row in rows]
    return Table(caption, columns, lines, max(1, sum(are_words)))


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
