"""Tables of dataclasses as Parquet files, each whole or not there."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from trocar.formats.whole_file import whole_file

T = TypeVar("T")


def pyarrow() -> Any:
    """The library, with its Parquet part.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError("this needs pyarrow: pip install 'trocar[pretrain]'") from error
    return pyarrow


def write_rows(path: Path, kind: type[T], rows: Sequence[T], notes: Mapping[str, str] | None = None) -> None:
    """Write rows of a dataclass of int, float, str and bool fields; `notes` go into the file's metadata."""
    pa = pyarrow()
    types = {"int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bool": pa.bool_()}
    hints = typing.get_type_hints(kind)
    names = [one.name for one in dataclasses.fields(kind)]  # type: ignore[arg-type]  # a dataclass
    columns = [pa.array([getattr(row, name) for row in rows], types[hints[name].__name__]) for name in names]
    write_table(path, pa.table(dict(zip(names, columns, strict=True))), notes)


def write_table(path: Path, table: Any, notes: Mapping[str, str] | None = None) -> None:
    """Write an Arrow table with `notes` in its metadata."""
    with whole_file(path) as temporary:
        pyarrow().parquet.write_table(table.replace_schema_metadata(dict(notes or {})), temporary)


def read_rows(path: Path, kind: type[T], remedy: str) -> list[T]:
    """The rows of a file.

    Args:
        remedy: what to do when it is missing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no Parquet file, or of other columns.
    """
    table = read_table(path, remedy)
    names = [one.name for one in dataclasses.fields(kind)]  # type: ignore[arg-type]  # a dataclass
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}, it is of another kind or version: {remedy}")
    columns = [table.column(name).to_pylist() for name in names]
    return [kind(*values) for values in zip(*columns, strict=True)]


def read_table(path: Path, remedy: str) -> Any:
    """The Arrow table of a file; raises as `read_rows` does."""
    pa = pyarrow()
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {remedy}")
    try:
        return pa.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged or no Parquet file: delete it; {remedy}") from error


def notes_of(table: Any) -> dict[str, str]:
    """The notes of a table that `read_table` gave."""
    return {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
