"""The knobs of a policy: the parameters of its class, with their types, defaults and meanings.

Each has a type hint, a default, and a line under `Args:` in the docstring of the class. The command line, TOML files
and the record of a run know a policy's knobs from here; a policy itself does nothing for it.
"""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trocar.memory.seam import MemoryPolicy

PolicyClass = Callable[..., MemoryPolicy]
PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
ARGS = re.compile(r"^Args:\n((?: +.*\n?|\n)*)", re.MULTILINE)
TEXT_OF = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Knob:
    """One parameter of a policy.

    Args:
        name: as in Python and on the command line.
        kinds: what it may be: int, float, bool, str, NoneType, or a choice of given values.
        default: the value that it has when nobody says otherwise.
        meaning: its line in the docstring.
    """

    name: str
    kinds: tuple[Any, ...]
    default: Any
    meaning: str

    @property
    def accepts(self) -> str:
        """What it may be, in words."""
        return " or ".join(
            PLAIN[kind] if kind in PLAIN else " or ".join(repr(choice) for choice in typing.get_args(kind))
            for kind in self.kinds
        )

    def value(self, given: object) -> Any:
        """A typed value from a value or its text.

        Raises:
            ValueError: it is none of what the knob may be.
        """
        for kind in sorted(self.kinds, key=lambda kind: kind is str):  # any text is text, so that comes last
            found, value = _as_kind(given, kind)
            if found:
                return value
        raise ValueError(f"{self.name} is {self.accepts}, not {given!r}")


def _as_kind(given: object, kind: Any) -> tuple[bool, Any]:
    """(whether it is of that kind, its value)."""
    if typing.get_origin(kind) is Literal:
        match = [choice for choice in typing.get_args(kind) if given == choice or given == str(choice)]
        return bool(match), match[0] if match else None
    if kind is str:
        return isinstance(given, str), given
    value = TEXT_OF.get(given.lower(), given) if isinstance(given, str) else given
    if kind in (int, float) and isinstance(given, str):
        try:
            value = kind(given)
        except ValueError:
            return False, None
    if kind is float and type(value) is int:
        value = float(value)
    return type(value) is kind and value == value, value  # not a NaN


def as_text(value: object) -> str:
    """A knob's value as `Knob.value` takes it."""
    return str(value) if isinstance(value, str) else str(value).lower()


def knobs_of(policy: Callable[..., Any]) -> dict[str, Knob]:
    """The knobs of a policy, or of anything else with such a signature, by name and in its order."""
    hints = typing.get_type_hints(policy.__init__ if inspect.isclass(policy) else policy)
    meanings = _meanings(inspect.getdoc(policy) or "")
    knobs = {}
    for name, parameter in inspect.signature(policy).parameters.items():
        hint = hints.get(name, str)
        union = typing.get_origin(hint) in (types.UnionType, typing.Union)
        kinds = typing.get_args(hint) if union else (hint,)
        if parameter.default is parameter.empty:
            raise TypeError(f"the knob {name} of {policy!r} needs a default")
        knobs[name] = Knob(name, kinds, parameter.default, meanings.get(name, ""))
    return knobs


def _meanings(docstring: str) -> dict[str, str]:
    """Name -> text of the lines under `Args:`."""
    section = ARGS.search(docstring)
    lines = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in lines}


def knob_values(name: str, policy: PolicyClass, given: Mapping[str, object]) -> dict[str, Any]:
    """The value of every knob of a policy: what is given, as values or as text, and the defaults.

    Raises:
        ValueError: there is no such knob, or its value is not what it takes; the message says what there is.
    """
    knobs = knobs_of(policy)
    for key in given:
        if key not in knobs:
            near = difflib.get_close_matches(key, knobs, n=1, cutoff=0.0)
            hint = f"did you mean {near[0]!r}? its knobs are: {', '.join(knobs)}" if near else "it has none"
            raise ValueError(f"memory policy {name!r} has no knob {key!r}; {hint}")
    try:
        return {key: knob.value(given[key]) if key in given else knob.default for key, knob in knobs.items()}
    except ValueError as error:
        raise ValueError(f"memory policy {name!r}: {error}") from error
