"""A report as one HTML page that needs nothing but itself, and as Markdown."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from trocar.bench.report_table import Box, Line, Table

BADGES = {"ours": "ours", "partial": "partial", "published": "published", "plain": ""}
LONGEST_PX = 640


@dataclass(frozen=True)
class SettingPart:
    """What a protocol gave under one setting: its tables, and its plot as an <svg> element."""

    title: str
    tables: Sequence[Table]
    plot: str | None = None
    plot_says: str = ""


@dataclass(frozen=True)
class Shown:
    """A picture inside the page: its data as a URL, its size in pixels, and what it shows."""

    data: str
    width: int
    height: int
    says: str


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading."""

    title: str
    pictures: Sequence[Shown]


@dataclass(frozen=True)
class Section:
    """The runs of one protocol, or one file of figures.

    Attributes:
        known: what is known to be inconsistent in the papers beside it.
        details: heading -> (name, value) of how it was run.
    """

    title: str
    settings: Sequence[SettingPart]
    galleries: Sequence[Gallery] = ()
    failures: Sequence[Table] = ()
    known: Sequence[str] = ()
    details: Sequence[tuple[str, Sequence[tuple[str, str]]]] = ()


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    title: str
    sections: Sequence[Section]
    alerts: Sequence[str] = ()
    contents: Table | None = None
    citations: Sequence[str] = field(default=())


def page(report: Report) -> str:
    """The report as HTML; every word of it is escaped but the plots, which `report_plots` draws."""
    from jinja2 import Environment, StrictUndefined  # only those who benchmark need it

    template = (files("trocar.bench") / "report_page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(report=report, badges=BADGES)


def shown(path: Path, says: str) -> Shown:
    """Take a picture into the page, no longer than 640 pixels.

    Raises:
        FileNotFoundError, ValueError: the file is missing, or no picture.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, but pictures.json names it: run the benchmark again")
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is not a picture: run the benchmark again") from error
    small.thumbnail((LONGEST_PX, LONGEST_PX))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=90)
    data = "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")
    return Shown(data, small.width, small.height, says)


def markdown(report: Report) -> str:
    """The report as Markdown: everything but plots and pictures."""
    lines = [f"# {_plain(report.title)}", ""]
    if report.alerts:
        lines += ["> **Incomplete: not all figures below are of whole runs.**", ">"]
        lines += [f"> - {_plain(said)}" for said in report.alerts] + [""]
    if report.contents:
        lines += _markdown_table(report.contents)
    for section in report.sections:
        lines += _markdown_section(section)
    if report.citations:
        lines += ["## Papers", "", *(f"- {_plain(one)}" for one in report.citations), ""]
    return "\n".join(lines)


def _markdown_section(section: Section) -> Iterator[str]:
    yield from (f"## {_plain(section.title)}", "")
    for part in section.settings:
        if part.title:
            yield from (f"### {_plain(part.title)}", "")
        for table in part.tables:
            yield from _markdown_table(table)
    for gallery in section.galleries:
        yield from (f"### {_plain(gallery.title)}", "")
        yield from (f"- {_plain(picture.says)}" for picture in gallery.pictures)
        yield ""
    for table in section.failures:
        yield from _markdown_table(table)
    if section.known:
        yield from ("### What is known to be inconsistent in these papers", "")
        yield from (f"- {_plain(said)}" for said in section.known)
        yield ""
    for name, settings in section.details:
        yield from (f"### How it was run: {_plain(name)}", "")
        yield from (f"- {_plain(key)}: {_plain(value)}" for key, value in settings)
        yield ""


def _markdown_table(table: Table) -> Iterator[str]:
    yield from (f"**{_plain(table.caption)}**", "")
    yield _bars(map(_plain, table.columns))
    yield _bars("---" if place < table.words else "---:" for place in range(len(table.columns)))
    for line in table.lines:
        yield _bars(_markdown_box(line, box, place) for place, box in enumerate(line.boxes))
    yield ""
    if table.notes:
        yield from (f"{number}. {_plain(note)}" for number, note in enumerate(table.notes, 1))
        yield ""


def _markdown_box(line: Line, box: Box, place: int) -> str:
    badge = f" ({BADGES[line.kind]})" if place == 0 and BADGES[line.kind] else ""
    details = "".join(f"; {_plain(detail)}" for detail in box.details)
    notes = "".join(f"<sup>{note}</sup>" for note in box.notes)
    return f"{_plain(box.text)}{badge}{notes}{details}"


def _bars(boxes: Iterator[str] | map[str]) -> str:
    return f"| {' | '.join(boxes)} |"


def _plain(text: str) -> str:
    """Text that Markdown and the HTML in it leave as it is, on one line."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", escaped)
