"""Domain and procedure of a video by keywords in its path and title.

The table that comes with the package, taxonomy.toml, has SurgRec's four domains and more than fifty procedures. A
user's TOML file of the same form goes before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trocar.settings import read_table

UNKNOWN = "unknown"
SHIPPED = Path(__file__).with_name("taxonomy.toml")


@dataclass(frozen=True)
class Keyword:
    """A text that tells a procedure.

    Args:
        text: words, lower case, with single spaces between; matched as whole words.
    """

    text: str
    domain: str
    procedure: str


class Taxonomy:
    """Keywords of procedures; where several are found the longest counts, of equally long ones the first."""

    def __init__(self, keywords: list[Keyword]) -> None:
        self.keywords = sorted(keywords, key=lambda one: -len(one.text))  # stable: the user's come first

    @property
    def procedures(self) -> dict[str, set[str]]:
        """Domain -> its procedures."""
        found: dict[str, set[str]] = {}
        for one in self.keywords:
            found.setdefault(one.domain, set()).add(one.procedure)
        return found

    def classify(self, text: str) -> tuple[str, str]:
        """Domain and procedure of a path or title; "unknown" twice when no keyword is in it."""
        words = f" {_words(text)} "
        for one in self.keywords:
            if f" {one.text} " in words:
                return one.domain, one.procedure
        return UNKNOWN, UNKNOWN


def read_taxonomy(path: Path | None = None) -> Taxonomy:
    """The shipped table, and a user's before it.

    The file has a table a domain, and in it a line a procedure: `"gastric bypass" = ["rygb", "roux en y"]`. The name of
    the procedure is a keyword by itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not TOML, or not of this form.
    """
    return Taxonomy([*(_read(path) if path else []), *_read(SHIPPED)])


def _read(path: Path) -> list[Keyword]:
    keywords = []
    for domain, procedures in read_table(path).items():
        if not isinstance(procedures, Mapping):
            raise ValueError(
                f'{path}: {domain} must be a table of procedures: write [{domain}] and lines NAME = ["word"]'
            )
        for procedure, words in procedures.items():
            if not isinstance(words, list) or not all(isinstance(word, str) and _words(word) for word in words):
                raise ValueError(
                    f'{path}: {domain}.{procedure} must be a list of keywords, such as ["word", "two words"]'
                )
            keywords += [Keyword(_words(word), domain, procedure) for word in (procedure, *words)]
    return keywords


def _words(text: str) -> str:
    """Lower case, and everything but letters and digits a single space."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()
