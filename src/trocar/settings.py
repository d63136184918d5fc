"""Settings: dataclasses read from TOML and from the command line, and written beside results.

One reader for every recipe: an unknown key is an error with the nearest valid name, a value of the wrong type an error
that says what is wanted, and what was resolved can be written as TOML that reads back as an equal value.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def read_settings(kind: type[T], path: Path) -> T:
    """The settings in a TOML file; a key that it leaves out has its default.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not TOML, a key is unknown (the nearest valid one is named), or a value does not fit.
    """
    table = read_table(path)
    try:
        return settings_from(kind, table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_table(path: Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not TOML.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: give the path of a recipe (*.toml)")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error


def settings_from(kind: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """A dataclass from plain values, `where` being what stands before its keys in messages.

    Raises:
        ValueError: as `read_settings`.
    """
    hints = typing.get_type_hints(kind)
    known = _fields(kind)
    for key in table:
        if key not in known:
            raise ValueError(_unknown(key, known, where))
    for name, one in known.items():
        if name not in table and one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{where}{name} is missing: it has no default")
    return kind(**{key: _value(hints[key], value, f"{where}{key}") for key, value in table.items()})


def with_fields(settings: T, given: Mapping[str, str]) -> T:
    """The settings with some fields replaced, as the command line gives them: "losses.dice" -> "2.0".

    A field of several values takes them with commas between. "data.scenes" is a key of a table, "stages.0.side" a field
    of the first of several.

    Raises:
        ValueError: there is no such field, or the text does not fit it.
    """
    for name, text in given.items():
        settings = _replaced(settings, name.split("."), text, name)
    return settings


def field_values(settings: Any) -> dict[str, Any]:
    """What `with_fields` can replace and what it is now; members of tables and lists go by their key or number."""
    values: dict[str, Any] = {}
    for name, value in _members(settings):
        inside = field_values(value)
        values |= {f"{name}.{inner}": item for inner, item in inside.items()} or {name: value}
    return values


def _members(value: Any) -> list[tuple[str, Any]]:
    """The named parts of a value; a plain one has none."""
    if is_dataclass(value):
        return [(one.name, getattr(value, one.name)) for one in fields(value)]
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        return [(str(number), one) for number, one in enumerate(value)]
    return []


def to_toml(settings: Any) -> str:
    """The settings as TOML text that `read_settings` turns into equal ones; fields that are None are left out."""
    return "\n".join(_lines(settings, "")) + "\n"


def _fields(kind: Any) -> dict[str, Field[Any]]:
    return {one.name: one for one in fields(kind)}


def _unknown(key: str, known: Mapping[str, Any], where: str) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    hint = f": did you mean {near[0]}?" if near else ":"
    return f"unknown key {where}{key}{hint} (all: {', '.join(known)})"


def _value(hint: Any, value: Any, where: str) -> Any:
    """A plain value as what the hint asks for."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint) and isinstance(value, Mapping):
        return settings_from(typing.cast(type[Any], hint), value, f"{where}.")
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {str(key): _value(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is Literal and value in inner:
        return value
    if origin in (typing.Union, types.UnionType):
        for choice in inner:
            try:
                return _value(choice, value, where)
            except ValueError:
                continue
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (type(value) is hint or (hint is type(None) and value is None)):
        return value
    raise ValueError(f"{where} must be {_words(hint)}, not {value!r}")


def _words(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple:
        return f"a list, each {_words(inner[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(one) for one in inner if one is not type(None))
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _replaced(settings: Any, path: list[str], text: str, whole: str) -> Any:
    known, name = _fields(settings), path[0].replace("-", "_")
    if name not in known:
        raise ValueError(_unknown(name, known, whole[: -len(".".join(path))]))
    hint = typing.get_type_hints(type(settings))[name]
    if len(path) > 1:
        return replace(settings, **{name: _inside(hint, getattr(settings, name), path[1:], text, whole)})
    return replace(settings, **{name: _from_text(hint, text, whole)})


def _inside(hint: Any, value: Any, path: list[str], text: str, whole: str) -> Any:
    """A value of several members with one of them replaced."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _replaced(value, path, text, whole)
    if isinstance(value, Mapping):
        return {**value, ".".join(path): _from_text(inner[1], text, whole)}
    if origin is tuple and len(path) > 1 and path[0] in map(str, range(len(value))):
        number = int(path[0])
        return (*value[:number], _replaced(value[number], path[1:], text, whole), *value[number + 1 :])
    raise ValueError(f"{whole}: {whole[: -len('.'.join(path)) - 1]} has no {path[0]} of its own")


def _from_text(hint: Any, text: str, where: str) -> Any:
    """The typed value that a text stands for."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and not is_dataclass(inner[0]):
        return tuple(_from_text(inner[0], part.strip(), where) for part in text.split(",") if part.strip())
    if origin in (typing.Union, types.UnionType):
        for choice in sorted(inner, key=lambda one: one is str):  # any text is text, so that comes last
            try:
                return _from_text(choice, text, where)
            except ValueError:
                continue
    if origin is Literal:
        match = next((choice for choice in inner if str(choice) == text), None)
        if match is not None:
            return match
    if hint is bool and text in ("true", "false"):
        return text == "true"
    if hint is type(None) and text == "none":
        return None
    if hint is str:
        return text
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            pass
    raise ValueError(f"{where} must be {_words(hint)}, not {text!r}")


def _lines(value: Any, where: str) -> list[str]:
    """Plain values first, then sub-tables, as TOML wants it."""
    items = (
        value.items()
        if isinstance(value, Mapping)
        else [(part.name, getattr(value, part.name)) for part in fields(value)]
    )
    plain, tables = [], []
    for key, item in items:
        key = _key(key)
        name = f"{where}{key}"
        if isinstance(item, tuple) and item and is_dataclass(item[0]):
            for one in item:
                tables += ["", f"[[{name}]]", *_lines(one, f"{name}.")]
        elif is_dataclass(item) or isinstance(item, Mapping):
            tables += ["", f"[{name}]", *_lines(item, f"{name}.")]
        elif item is not None:
            plain.append(f"{key} = {_literal(item)}")
    return plain + tables


def _key(name: str) -> str:
    """A key as TOML takes it: bare if it can be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _literal(name)


def _literal(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else repr(value)
