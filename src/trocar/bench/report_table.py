"""A table of a report, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["ours", "partial", "published", "plain"]


@dataclass(frozen=True)
class Box:
    """What stands in one box of a table.

    Attributes:
        details: small print below it, a line each, such as its interval.
        notes: numbers of the table's notes, from 1.
    """

    text: str
    details: tuple[str, ...] = ()
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """A row of a table; its first box names it."""

    boxes: Sequence[Box]
    kind: Kind = "plain"


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Attributes:
        columns: their headings.
        words: how many columns, from the left, hold words; the others hold numbers, which stand at the right.
        notes: what is said below it, in the order of their numbers.
    """

    caption: str
    columns: Sequence[str]
    lines: Sequence[Line]
    words: int = 1
    notes: Sequence[str] = field(default=())


class Notes:
    """The notes of a table while it is made: the same sentence twice is one note."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def number(self, sentence: str) -> int:
        """The number of a note, from 1."""
        if sentence not in self.said:
            self.said.append(sentence)
        return self.said.index(sentence) + 1
