"""The numbers that five papers print, as they print them, and what is known to be wrong with them.

The tables lie in `published/`, a file a table, with the columns paper, table, dataset, model, setting, metric, value.
A `setting` lists, between bars, what the paper says of the run: weights, input pixels, prompt. Which figures follow
from others is in `published_checks`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

HOLDS = ("confirmed", "consistent", "match:", "info")
"""How the verdicts begin of checks that found nothing wrong."""


@dataclass(frozen=True)
class Paper:
    """A paper with tables here: how its files are called, and how it is cited."""

    file: str
    citation: str


PAPERS = {
    "SAM2S": Paper(
        "sam2s",
        "Liu et al., SAM2S: Segment Anything in Surgical Videos via Semantic Long-term Tracking, "
        "arXiv:2511.16618, 2025",
    ),
    "SurgicalSAM": Paper(
        "surgicalsam",
        "Yue et al., SurgicalSAM: Efficient Class Promptable Surgical Instrument Segmentation, AAAI 2024, "
        "arXiv:2308.08746",
    ),
    "SAM2-Med-Benchmark": Paper(
        "sam2-medical",
        "Ma et al., Segment Anything in Medical Images and Videos: Benchmark and Deployment, arXiv:2408.03322, 2024",
    ),
    "SurgRec": Paper(
        "surgrec", "Lu et al., Scaling Video Pretraining for Surgical Foundation Models, arXiv:2603.29966, 2026"
    ),
    "MedSAM-2": Paper(
        "medsam-2",
        "Zhu et al., Medical SAM 2: Segment Medical Images as Video via Segment Anything Model 2, "
        "arXiv:2408.00874, 2024",
    ),
}


@dataclass(frozen=True)
class PublishedRow:
    """One printed figure.

    Attributes:
        paper: a key of `PAPERS`.
        table: its number, or `text`; one with an underscore was worked out from the table before the underscore.
        printed: the figure as printed, but for zeros at its end.
        value: the same as a number, None where words are printed or nothing.
    """

    paper: str
    table: str
    dataset: str
    model: str
    setting: str
    metric: str
    printed: str

    @property
    def value(self) -> float | None:
        try:
            return float(self.printed)
        except ValueError:
            return None

    @property
    def citation(self) -> str:
        return PAPERS[self.paper].citation


@dataclass(frozen=True)
class Inconsistency:
    """Something that a paper prints and that its own numbers contradict.

    Attributes:
        table: its number, several with a slash between them, or `text`.
        what: the figure or the claim.
        printed, recomputed: what the paper says, and what follows from its other figures.
        verdict: in words.
    """

    paper: str
    table: str
    what: str
    printed: str
    recomputed: str
    verdict: str

    @property
    def subject(self) -> str:
        """Which figure is meant, as `published_checks` names it."""
        return self.what.partition(":")[0]

    @property
    def is_rounding(self) -> bool:
        """Whether rounding of the figures it is computed from may be the reason."""
        return "within rounding" in self.verdict


def published_rows(paper: str, table: str | None = None) -> list[PublishedRow]:
    """The figures of a paper, in the order in which they are printed.

    Args:
        paper: a key of `PAPERS`.
        table: one of `published_table_names`; None for all that the paper prints, without what was worked out since.

    Raises:
        ValueError: a paper or a table that is not here.
    """
    names = published_table_names(paper)
    if table is None:
        return [row for name in names if "_" not in name for row in _rows(paper, name)]
    if table not in names:
        raise ValueError(f"{paper} has no table {table!r} here: choose one of {', '.join(names)}")
    return list(_rows(paper, table))


def published_table_names(paper: str) -> list[str]:
    """The tables of a paper, sorted.

    Raises:
        ValueError: a paper that is not here.
    """
    if paper not in PAPERS:
        raise ValueError(f"no published tables of {paper!r}: choose one of {', '.join(PAPERS)}")
    prefix = f"{PAPERS[paper].file}_table_"
    found = (file.name for file in (files("trocar.bench") / "published").iterdir())
    return sorted(name.removeprefix(prefix).removesuffix(".csv") for name in found if name.startswith(prefix))


@cache
def known_inconsistencies() -> tuple[Inconsistency, ...]:
    """What is known to be wrong in the tables and the texts around them; checks that found nothing are left out."""
    lines = (Inconsistency(**line) for line in _lines("inconsistencies.csv"))
    return tuple(line for line in lines if not line.verdict.startswith(HOLDS))


@cache
def _rows(paper: str, table: str) -> tuple[PublishedRow, ...]:
    lines = _lines(f"{PAPERS[paper].file}_table_{table}.csv")
    return tuple(PublishedRow(printed=line.pop("value"), **line) for line in lines)


def _lines(name: str) -> Iterator[dict[str, str]]:
    text = (files("trocar.bench") / "published" / name).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())
