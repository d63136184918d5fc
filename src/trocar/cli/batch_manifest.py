"""The manifest of a batch: a table with a line for each source, checked whole before anything is started."""

from __future__ import annotations

import argparse
import copy
import csv
import difflib
import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from trocar.cli import class_prompts, segment
from trocar.cli.batch_item import Item
from trocar.cli.image_set import MEMORY
from trocar.cli.said import check_said, file_said

COLUMNS = ("source", "prompts", "output", "model", "memory")
NOT_ASKED = ("source", "said", "model", "init_model", "class_model", "memory", "templates", "device")
"""Options that go into the digest by what they name, or, the device, not at all."""

Table = tuple[list[str], list[tuple[str, dict[Any, Any]]]]
"""The columns of a manifest, and of each row where it stands and its cells."""


class BadManifest(ValueError):
    """A manifest with rows that cannot be run.

    Args:
        path: the manifest.
        rows: how many it has.
        faults: (where, what is wrong), row by row.
    """

    def __init__(self, path: Path, rows: int, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        bad = len({where for where, _ in faults})
        super().__init__(f"{path}: {bad} of {rows} rows cannot be run, nothing was started: mend or remove them")


@dataclass(frozen=True)
class Row:
    """One row: where it stands, and the cells that are not empty."""

    where: str
    cells: Mapping[str, str]


class _RowParser(argparse.ArgumentParser):
    """A parser whose complaints are errors of the row."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise ValueError((message or "the options of a row cannot ask for help").removeprefix("trocar: ").strip())


def read_items(manifest: Path, out: Path, shared: argparse.Namespace) -> list[Item]:
    """The items of a manifest.

    Args:
        manifest: a .csv or .parquet file with the columns `COLUMNS`, of which `source` must be there. Paths in it
            start from its folder.
        out: the folder of the batch.
        shared: options of `trocar segment` that hold for all items, before those of their rows.

    Raises:
        FileNotFoundError, ValueError: there is no manifest, it is no table of these columns, or it is empty.
        BadManifest: some rows cannot be run; it names all of them.
    """
    rows = _read_rows(manifest)
    parser = _RowParser(prog="prompts", add_help=False)
    segment.add_item_options(parser)
    _make_absolute(shared, Path.cwd())
    items: list[Item] = []
    faults: list[tuple[str, str]] = []
    places: dict[Path, str] = {}
    for row in rows:
        try:
            options = _options(row, parser, shared, manifest.absolute().parent)
            name = _output(row, options, out, places)
            items.append(Item(name, options, (out / name).absolute(), _digest(options)))
        except (ValueError, OSError) as error:
            faults.append((row.where, " ".join(str(error).split())))
    if faults:
        raise BadManifest(manifest, len(rows), faults)
    return items


def _read_rows(path: Path) -> list[Row]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name of the manifest")
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path} is not a manifest: give a .csv or .parquet file with the column source")
    columns, found = readers[path.suffix.lower()](path)
    for name in columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{path} has a column {name!r}; {hint}columns are {', '.join(COLUMNS)}")
    if "source" not in columns:
        raise ValueError(f"{path} has no column 'source': name in it what is to be segmented")
    if not found:
        raise ValueError(f"{path} has no rows: add a line for each source")
    return [
        Row(where, {name: str(cell).strip() for name, cell in cells.items() if cell is not None and str(cell).strip()})
        for where, cells in found
    ]


def _read_csv(path: Path) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            found = [(f"line {reader.line_num}", cells) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a table in UTF-8 with commas between the columns: {error}") from error
    return columns, found


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError("a manifest in Parquet needs pyarrow: pip install 'trocar[bench]', or give a .csv") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file, or is damaged: {error}") from error
    return table.column_names, [(f"row {number}", cells) for number, cells in enumerate(table.to_pylist(), start=1)]


def _options(row: Row, parser: _RowParser, shared: argparse.Namespace, folder: Path) -> argparse.Namespace:
    """The options of `trocar segment` that a row asks for."""
    cells = dict(row.cells)
    if "" in cells:
        raise ValueError("it has more cells than there are columns: put quotes around prompts, which hold commas")
    if "source" not in cells:
        raise ValueError("it has no source: name a video, a volume, a picture or a folder of pictures")
    said = cells.get("prompts", "")
    words = ["--prompts", said] if said.lower().endswith(".json") and not said.startswith("-") else shlex.split(said)
    for name in ("model", "memory"):
        words += [f"--{name}", cells[name]] if name in cells else []
    options, left = parser.parse_known_args(words, copy.deepcopy(shared))
    if left:
        raise ValueError(
            f"{' '.join(left)!r} is no prompt: write as for `trocar segment`, as in --box 412,305,520,388@0"
        )
    options.source = str(folder / cells["source"])
    if not Path(options.source).exists():
        raise FileNotFoundError(f"{options.source} does not exist: check the name of the source")
    _make_absolute(options, folder)
    for option, text, _ in options.said:
        check_said(option, text, options.image_set)
    if not (options.said or options.classes or options.boxes):
        raise ValueError("nothing is prompted: write --box, --point, --mask or --class in the column prompts")
    return options


def _make_absolute(options: argparse.Namespace, folder: Path) -> None:
    """Let the names of files start from `folder`; names that are no files there are names of tables."""

    def absolute(text: str, must: bool = False) -> str:
        return str(folder / text) if must or (folder / text).is_file() else text

    options.said = [
        (option, absolute(text, option in ("--mask", "--prompts")), number) for option, text, number in options.said
    ]
    for name in ("model", "init_model", "class_model", "memory"):
        if getattr(options, name):
            setattr(options, name, absolute(getattr(options, name)))
    options.templates = [absolute(text, must=True) for text in options.templates]


def _output(row: Row, options: argparse.Namespace, out: Path, places: dict[Path, str]) -> str:
    """The item's folder within the batch's, which no other row has, nor one within it; `places` are those taken."""
    asked = row.cells.get("output") or Path(options.source).name.split(".")[0] or Path(options.source).name
    place = Path(os.path.normpath(asked))
    if place.is_absolute() or place.parts[:1] in ((), ("..",)) or place == Path():
        raise ValueError(f"its output {asked!r} does not lie in {out}: give a name without / at its beginning or ..")
    for other, where in places.items():
        if other == place or other in place.parents or place in other.parents:
            raise ValueError(f"its output {str(place)!r} is in the way of that of {where}: name another one in output")
    places[place] = row.where
    return str(place)


def _digest(options: argparse.Namespace) -> str:
    """What tells this request from others: the options, the prompts, and what lies in the files that they name."""
    from trocar import __version__
    from trocar.load import memory_settings

    asked: dict[str, Any] = {name: value for name, value in vars(options).items() if name not in NOT_ASKED}
    asked["source"] = [Path(options.source).name, *_stamps(Path(options.source))]
    asked["templates"] = [_contents(Path(text)) for text in options.templates]
    asked["said"] = []
    for option, text, number in options.said:
        file = file_said(option, text)
        shown = text if file is None else [_contents(file), text.removeprefix(str(file))]
        asked["said"].append([option, shown, number])
    asked["weights"] = [_weights(name) for name in (options.model, options.init_model) if name]
    if options.classes:
        from trocar.classprompt.registry import find_class_model

        asked["class_weights"] = _contents(find_class_model(options.class_model or class_prompts.DEFAULT))
    asked["memory"] = memory_settings(options.memory or (MEMORY if options.image_set else "recent"))
    asked["version"] = __version__
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def _stamps(source: Path) -> Iterator[tuple[str, int, int]]:
    """(name, bytes, time of change) of the files of a source: reading hours of video would take long."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    for path in files:
        stat = path.stat()
        yield str(path.relative_to(source)) if source.is_dir() else path.name, stat.st_size, stat.st_mtime_ns


def _weights(model: str) -> str:
    from trocar.load import UnknownName
    from trocar.model.registry import MODELS, find_weights

    if model not in MODELS and not Path(model).is_file():
        raise UnknownName("model", model, MODELS)
    return _contents(find_weights(model) if model in MODELS else Path(model))


@cache
def _digest_of_file(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _contents(path: Path) -> str:
    """A digest of a file, or of the files of a folder."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    stats = [one.stat() for one in files]
    parts = [_digest_of_file(one, s.st_size, s.st_mtime_ns) for one, s in zip(files, stats, strict=True)]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
