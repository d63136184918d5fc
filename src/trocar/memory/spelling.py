"""How people write a memory policy with its knobs: NAME:key=value,key=value, or a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def said_policy(spec: str) -> dict[str, Any]:
    """What is written, with the policy's name under "policy" and each knob's value as it was read.

    Raises:
        FileNotFoundError: `spec` ends in .toml and is no file.
        ValueError: it is not written like that.
    """
    return _memory_file(Path(spec)) if spec.endswith(".toml") else _memory_text(spec)


def _memory_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give a memory policy's name, or the path of a TOML file")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error
    if "policy" not in said:
        raise ValueError(f'{path} names no memory policy: add a line like policy = "recent"')
    return said


def _memory_text(spec: str) -> dict[str, Any]:
    name, _, rest = spec.partition(":")
    said: dict[str, Any] = {"policy": name}
    for pair in rest.split(",") if rest else []:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not key or not equals or key in said:
            raise ValueError(f"memory {spec!r}: {pair!r} is not a new key=value; write NAME:key=value,key=value")
        said[key] = value
    return said
