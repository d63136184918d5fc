"""Settings as options: `--FIELD VALUE` for everything that a recipe holds."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

FIELD = "field:"
"""Begins the names of options that are settings, among those that say how they are used."""


class LazyParser(argparse.ArgumentParser):
    """A parser that is completed when its arguments are known, so that only what they ask for is imported."""

    complete: Callable[[Sequence[str]], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        complete, self.complete = self.complete, None
        if complete is None:
            return super().parse_known_args(args, namespace)
        try:
            complete(args or [])
        except (ValueError, OSError) as error:  # a recipe that cannot be read
            self.exit(2, f"trocar: {error}\n")
        found, left = super().parse_known_args(args, namespace)
        unknown = next((word.partition("=")[0] for word in left if word.startswith("--")), None)
        if unknown:
            near = difflib.get_close_matches(unknown, self._option_string_actions, n=1, cutoff=0.5)
            self.error(f"there is no option {unknown}" + (f": did you mean {near[0]}?" if near else ""))
        return found, left


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads`, which `trocar.cli.main` sees to before the verb runs."""
    parser.add_argument("--threads", type=int, default=0, help="of an operation on a CPU; 0: one a processor (0)")


def add_fields(parser: argparse.ArgumentParser, settings: Any) -> None:
    """An option for each field of the settings, the help showing what it is now."""
    from trocar.settings import field_values

    group = parser.add_argument_group("settings, several values with commas between (as it is)")
    for name, value in field_values(settings).items():
        said = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        flags = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
        if not set(flags) & set(parser._option_string_actions):
            group.add_argument(*flags, dest=FIELD + name, metavar="VALUE", help=f"({said})".replace("%", "%%"))


def with_given(settings: T, options: argparse.Namespace) -> T:
    """The settings with the fields that the command line names.

    Raises:
        ValueError: a value does not fit its field.
    """
    from trocar.settings import with_fields

    given: Mapping[str, str] = {
        name[len(FIELD) :]: text for name, text in vars(options).items() if name.startswith(FIELD) and text is not None
    }
    return with_fields(settings, given)
