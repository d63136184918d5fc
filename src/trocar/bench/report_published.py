"""Which published figures stand beside which of ours: names, settings and units are brought together here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trocar.bench.published_tables import PublishedRow, published_rows

#: Other words for the same subset, metric or average; letters and digits only.
SAME = {
    "endovis17": "ev17",
    "endovis2017": "ev17",
    "endovis2018": "ev18",
    "endovis18": "ev18",
    "endovis18i": "ev18i",
    "endovis18t": "ev18t",
    "sarrarp50": "rarp50",
    "dice": "dsc",
    "jandf": "jf",
    "meanclassiou": "mciou",
    "top1": "acc1",
    "mean": "average",
}
#: Prompts that a table's setting does not repeat in each row.
IMPLIED = {("SAM2S", "7"): "512|3-click"}
#: Tables that print averages alone -> the table whose columns they are over.
AVERAGES_OF = {("SAM2S", "4"): "2"}


@dataclass(frozen=True)
class PublishedModel:
    """One row of a published table: figures of one model under one setting.

    Attributes:
        figures: (subset, metric) as `same_name` gives them -> the figure.
        members: subsets that its average stands for, as `same_name` gives them; none where it has no average.
    """

    paper: str
    table: str
    model: str
    setting: str
    input_px: str
    figures: Mapping[tuple[str, str], PublishedRow]
    members: frozenset[str]


def same_name(name: str) -> str:
    """A subset's or a metric's name, the same however it is spelt."""
    plain = re.sub(r"[^a-z0-9>]", "", name.casefold())
    return SAME.get(plain, plain)


def published_models(tables: Iterable[Mapping[str, Any]], setting: str) -> list[PublishedModel]:
    """The rows of published tables that were measured as `setting` says, in their printed order.

    Args:
        tables: what run.json says under `published`: paper and table.
        setting: of ours, such as "3-click"; what it does not say excludes nothing.
    """
    wanted = _prompt(setting)
    models = []
    for paper, table in dict.fromkeys((str(one["paper"]), str(one["table"])) for one in tables):
        groups: dict[tuple[str, str], list[PublishedRow]] = {}
        for row in published_rows(paper, table):
            if row.value is not None:
                groups.setdefault((row.model, row.setting), []).append(row)
        for (model, said), rows in groups.items():
            given = _prompt(f"{said}|{IMPLIED.get((paper, table), '')}")
            if all(wanted[name] == given[name] for name in wanted.keys() & given.keys()):
                models.append(_model(paper, table, model, rows))
    return models


def _model(paper: str, table: str, model: str, rows: Sequence[PublishedRow]) -> PublishedModel:
    words = [word for word in rows[0].setting.split("|") if word not in ("", "-")]
    implied = IMPLIED.get((paper, table), "").split("|")
    pixels = next((word for word in [*words, *implied] if word.isdecimal()), "")
    figures = {(same_name(row.dataset), same_name(row.metric)): row for row in rows}
    averaged = {metric for subset, metric in figures if subset == "average"}
    members = frozenset(
        same_name(row.dataset)
        for row in (published_rows(paper, AVERAGES_OF[paper, table]) if (paper, table) in AVERAGES_OF else rows)
        if same_name(row.metric) in averaged and same_name(row.dataset) != "average"
    )
    setting = ", ".join(word for word in words if not word.isdecimal())
    return PublishedModel(paper, table, model, setting, pixels, figures, members)


def _prompt(setting: str) -> dict[str, str]:
    """What a setting says of the prompt: its kind, and for volumes what the middle slice begins with."""
    said = {}
    text = setting.casefold()
    if clicks := re.search(r"(\d+)[\s_-]*(?:click|point)", text):
        said["prompt"] = f"{clicks[1]}-click"
    elif begin := re.search(r"init\w*\W+(\w+)", text):
        said["init"] = {"truth": "gt", "box": "default"}.get(begin[1], begin[1])
    elif "box" in text:
        said["prompt"] = "box"
    elif "mask" in text:
        said["prompt"] = "mask"
    return said


def in_percent(rows: Iterable[PublishedRow]) -> bool:
    """Whether figures are printed in percent: shares of one are never above it."""
    return max((abs(row.value or 0.0) for row in rows), default=0.0) > 1.5
