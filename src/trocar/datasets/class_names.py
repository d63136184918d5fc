"""Class names as one table has them, whatever a data set calls its classes (SA-SV, section 3, step 2).

What is not in the table keeps its name and is reported with the nearest name that is: a new class is never renamed
into an old one behind anybody's back.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("class_names.toml")

Kind = Literal["instrument", "finding", "organ", "unknown"]
How = Literal["same", "spelling", "alias", "without words", "kept", "unknown"]


@dataclass(frozen=True)
class StandardName:
    """What became of a name.

    Args:
        given: the data set's name.
        standard: an instrument's name in the table; `given` itself for tissue and for what the table does not know.
        how: it is the standard name, differs in spelling, is listed as an alias, is known when words such as "left"
            are left out, is kept because it is tissue's, or is unknown.
        nearest: for unknown names the nearest that the table knows, "" where none is near.
        kind: what the table says it is.
        part: whether it names a part of an instrument, such as its shaft.
    """

    given: str
    standard: str
    how: How
    nearest: str = ""
    kind: Kind = "unknown"
    part: bool = False

    @property
    def whole(self) -> bool:
        """Whether all there is of the class is one thing, rather than each piece."""
        return self.kind == "organ"


class ClassNames:
    """A table of standard names.

    Args:
        kinds: standard name -> what it is.
        aliases: other name -> standard name.
        which: words that a name may be known without.
        parts: likewise, words for a part of an instrument.

    Raises:
        ValueError: an alias stands for two names.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        aliases: Mapping[str, str],
        which: frozenset[str] = frozenset(),
        parts: frozenset[str] = frozenset(),
    ) -> None:
        self._kinds = dict(kinds)
        self._which, self._parts = which, parts
        self._names: dict[str, str] = {_plain(name): name for name in kinds}
        for alias, name in aliases.items():
            before = self._names.setdefault(_plain(alias), name)
            if before != name:
                raise ValueError(f"the class name {alias!r} stands for {before!r} and for {name!r}: keep one of them")

    @property
    def instruments(self) -> tuple[str, ...]:
        """The standard names of the instruments, in the table's order."""
        return tuple(name for name, kind in self._kinds.items() if kind == "instrument")

    def __call__(self, given: str) -> StandardName:
        """The standard name of a name."""
        plain = _plain(given)
        for left_out in (frozenset[str](), self._parts, self._which, self._which | self._parts):
            words = plain.split()
            name = self._names.get(" ".join(word for word in words if word not in left_out))
            if name is None:
                continue
            kind = self._kinds[name]
            if kind != "instrument":
                return StandardName(given, given, "kept", kind=kind)
            how = "without words" if left_out else self._how(given, plain)
            return StandardName(given, name, how, kind=kind, part=not self._parts.isdisjoint(set(words) & left_out))
        near = difflib.get_close_matches(plain, self._names, n=1)
        return StandardName(given, given, "unknown", self._names[near[0]] if near else "")

    def _how(self, given: str, plain: str) -> How:
        name = self._names.get(plain)
        return "same" if name == given else "spelling" if name is not None and _plain(name) == plain else "alias"


def read_class_names(path: Path = TABLE) -> ClassNames:
    """A table from a TOML file: `which`, `parts`, and the tables instruments, findings, organs of name = [aliases].

    Raises:
        FileNotFoundError, ValueError: it is missing, or is not such a file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give a TOML file of class names")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error
    tables: dict[str, Kind] = {"instruments": "instrument", "findings": "finding", "organs": "organ"}
    if unknown := sorted(set(said) - {"which", "parts", *tables}):
        raise ValueError(
            f"{path} has {unknown[0]!r}; a table of class names has which, parts and [{'], ['.join(tables)}]"
        )
    kinds: dict[str, Kind] = {}
    aliases: dict[str, str] = {}
    for table, kind in tables.items():
        for name, others in said.get(table, {}).items():
            if not isinstance(others, list) or name in kinds:
                raise ValueError(f"{path}: {name!r} needs one line with a list of other names, which may be empty")
            kinds[name] = kind
            for alias in others:
                if aliases.setdefault(str(alias), name) != name:
                    raise ValueError(f"{path}: {alias!r} stands for {aliases[str(alias)]!r} and {name!r}: keep one")
    words = (frozenset(str(word) for word in said.get(key, ())) for key in ("which", "parts"))
    return ClassNames(kinds, aliases, *words)


def _plain(name: str) -> str:
    """Lower-case words with single spaces between them."""
    return " ".join(re.split(r"[\s_\-]+", name.strip().lower()))
