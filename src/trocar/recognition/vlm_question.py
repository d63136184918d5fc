"""Questions for vision-language models: a template, a closed list of options, and what an answer means."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

FIELDS = ("frames", "options", "task")
PACKAGED = ("P1", "P2")
"""P1 asks plainly, P2 gives a role and a stricter form of answer (SurgRec, table 3, which prints no wording)."""


def read_template(name: str) -> str:
    """A template of the package, "P1" or "P2", or a text file of one's own with {frames}, {task} and {options}.

    Raises:
        FileNotFoundError: there is no such template or file.
        ValueError: it lacks {options}, or has another field.
    """
    packaged = files("trocar.recognition") / "prompts" / f"{name}.txt"
    if name in PACKAGED:
        text = packaged.read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise FileNotFoundError(f"there is no prompt {name!r}: give {' or '.join(PACKAGED)}, or a text file")
    try:
        found = {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise ValueError(f"{name} is no template ({error}): write a brace that is meant as such twice") from error
    if "options" not in found or found - set(FIELDS):
        raise ValueError(f"{name} must have the field {{options}} and no others than {', '.join(FIELDS)}")
    return text


@dataclass(frozen=True)
class VlmQuestion:
    """One question.

    Args:
        template: as `read_template` gives it.
        task: what the classes are.
        classes: their names; at most 26.
        order: which class each option is; the first option is A.
    """

    template: str
    task: str
    classes: tuple[str, ...]
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= len(string.ascii_uppercase):
            raise ValueError(f"{self.task} has {len(self.classes)} classes: letters are there for 2 to 26 options")
        if sorted(self.order) != list(range(len(self.classes))):
            raise ValueError(f"the order {self.order} does not name each of {len(self.classes)} classes once")

    def text(self, frames: int) -> str:
        """What is asked about that many pictures."""
        lettered = zip(string.ascii_uppercase, self.order, strict=False)
        listed = "\n".join(f"{letter}. {self.classes[one]}" for letter, one in lettered)
        return self.template.format(frames=frames, task=self.task, options=listed)


def option_order(classes: int, shuffle: int) -> tuple[int, ...]:
    """The order of options: as the classes are listed for shuffle 0, drawn by the number for others."""
    if shuffle == 0:
        return tuple(range(classes))
    return tuple(int(one) for one in np.random.default_rng([12, shuffle]).permutation(classes))


@dataclass(frozen=True)
class Meaning:
    """What an answer means.

    Args:
        label: number of a class; None where it cannot be told.
        form: "strict" for exactly a letter or an option's text, "normalised" for what comes down to one, "unparsable".
    """

    label: int | None
    form: Literal["strict", "normalised", "unparsable"]


def meaning(answer: str, question: VlmQuestion) -> Meaning:
    """The class that an answer names: exactly, then by letter or name after case, marks and preambles are taken away.

    An answer that names two options, or a letter and the text of another option, is not taken for either.
    """
    stripped = answer.strip()
    letters = dict(zip(string.ascii_uppercase, question.order, strict=False))
    names = {question.classes[one]: one for one in question.order}
    if stripped in letters or stripped in names:
        return Meaning(letters.get(stripped, names.get(stripped)), "strict")
    plain = _plain(stripped)
    named = _named(plain, {_plain(name): one for name, one in names.items()})
    lettered = _lettered(stripped, letters)
    found = named | lettered
    return Meaning(found.pop(), "normalised") if len(found) == 1 else Meaning(None, "unparsable")


def _plain(text: str) -> str:
    """Lower-case words with one space between."""
    return " ".join(re.findall(r"[a-z0-9]+", text.casefold()))


def _named(plain: str, names: dict[str, int]) -> set[int]:
    """The classes whose names stand in a text; one inside a longer name that stands there does not count."""
    found, left = set(), f" {plain} "
    for name in sorted(names, key=len, reverse=True):
        if f" {name} " in left:
            found.add(names[name])
            left = left.replace(f" {name} ", "  ")
    return found


def _lettered(text: str, letters: dict[str, int]) -> set[int]:
    """The option whose letter a text begins with, or that it gives as its answer: "B.", "(b)", "Answer: B"."""
    first = re.match(r"\s*[\"'*(\[]*([A-Za-z])[\"'*)\]]*\s*(?:[.:,)\-]|$)", text)
    said = re.findall(r"(?i:\b(?:answer|option|choice)\b)(?:\s+(?i:is))?[\s:*\"'(\[]*([A-Z])\b", text)
    given = {one.upper() for one in [*([first[1]] if first else []), *said]}
    return {letters[one] for one in given if one in letters}
