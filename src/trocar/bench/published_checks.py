"""Which published figures follow from others, and whether they do: averages, totals, differences, repetitions.

Every rule is a line of a table here. A figure that does not follow carries the name under which
`known_inconsistencies` knows it, so that whoever shows the figure can say so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Literal

from trocar.bench.published_tables import Inconsistency, PublishedRow, known_inconsistencies, published_rows

Verdict = Literal["agrees", "within rounding", "not explained"]
EPSILON = 1e-9

#: Paper, table, metric: the row `Average` is the mean of the table's other columns.
AVERAGED_DATASETS = (
    *(("SAM2S", table, "J&F") for table in "2367"),
    *(("MedSAM-2", table, "Dice") for table in "12"),
)
#: Paper, table, metric: it is the mean of the classes' IoU.
AVERAGED_CLASSES = (("SurgicalSAM", "1", "mcIoU"), ("SurgicalSAM", "2", "mcIoU"), ("SurgicalSAM", "4", "MeanIoU"))
#: SurgRec's domains, which it does not print: the row without balancing of table 4 follows from table 2 with them only.
DOMAINS = {
    "Cataract": ("Cataract-21", "Cataract-101", "Cataract-1K"),
    "Robotic": ("JIGSAWS", "SAR-RARP50"),
    "Endoscopy": ("Colonoscopic", "HyperKvasir", "Kvasir-Capsule", "LDPolypVideo"),
    "Laparoscopy": (
        *("AlxSuture", "AutoLaparo", "Cholec80", "LapGyn4", "M2CAI16", "MultiBypass140", "SurgicalActions160"),
    ),
}
#: Row of differences in SurgRec's table 4 -> (model, model that it is compared with).
DIFFERENCES = {
    "A vs. Base (MAE)": ("SurgRec-MAE", "VideoMAE"),
    "A vs. w/o bal.": ("SurgRec-MAE", "SurgRec-MAE (w/o bal.)"),
    "A vs. Base (JEPA)": ("SurgRec-JEPA", "JEPA"),
}


@dataclass(frozen=True)
class Recomputed:
    """A printed figure beside what follows from others.

    Attributes:
        row: the printed figure.
        subject: its name, as `Inconsistency.subject` has it.
        value: what follows.
        verdict: a mean agrees if it rounds to what is printed, and is within rounding if it may do so for inputs that
            round to what is printed of them. A difference of rounded figures agrees in both cases.
    """

    row: PublishedRow
    subject: str
    value: float
    verdict: Verdict


@cache
def recomputed() -> tuple[Recomputed, ...]:
    """All figures of the tables that follow from others."""
    parts = (
        _averages_of_datasets(),
        _averages_of_classes(),
        _totals(),
        _domains(),
        _macro_scores(),
        _differences(),
        _gains(),
        _prompt_differences(),
        _repetitions(),
    )
    return tuple(one for part in parts for one in part)


@cache
def inconsistency_of(row: PublishedRow) -> Inconsistency | None:
    """What is known to be wrong with a printed figure; None if nothing."""
    subjects = {one.subject for one in recomputed() if one.row == row and one.verdict != "agrees"}
    found = (
        one
        for one in known_inconsistencies()
        if (one.paper, one.table) == (row.paper, row.table) and one.subject in subjects
    )
    return next(found, None)


def _averages_of_datasets() -> Iterator[Recomputed]:
    for paper, table, metric in AVERAGED_DATASETS:
        rows = [row for row in published_rows(paper, table) if row.metric == metric]
        for group in _grouped(rows, lambda row: (row.model, row.setting)):
            average, parts = _split(group, lambda row: row.dataset == "Average")
            averages = [row for row in rows if row.dataset == "Average"]
            yield _mean(average, parts, f'average of row "{_row_name(average, averages)}"')


def _averages_of_classes() -> Iterator[Recomputed]:
    for paper, table, metric in AVERAGED_CLASSES:
        rows = published_rows(paper, table)
        averages = [row for row in rows if row.metric == metric]
        for average in averages:
            own = [row for row in rows if (row.model, row.dataset) == (average.model, average.dataset)]
            if parts := [row for row in own if row.metric.startswith("IoU_")]:
                yield _mean(average, parts, f'average of row "{_row_name(average, averages)}"')


def _totals() -> Iterator[Recomputed]:
    """SAM2S, table 1: numbers of videos, frames and objects."""
    rows = [row for row in published_rows("SAM2S", "1") if row.metric != "AvgDur_s"]
    for group in _grouped(rows, lambda row: (row.setting, row.metric)):
        total, parts = _split(group, lambda row: row.dataset.startswith("Total"))
        yield _judged(total, f"{total.dataset} {total.metric}", sum(map(_number, parts)), 0.0)


def _domains() -> Iterator[Recomputed]:
    """SurgRec, table 4: means of the datasets of table 2."""
    scores = {(row.model, row.dataset): row for row in published_rows("SurgRec", "2")}
    for row in _surgrec_scores():
        if row.dataset in DOMAINS:
            parts = [scores[row.model, name] for name in DOMAINS[row.dataset]]
            yield _mean(row, parts, f"{row.model} / {row.dataset}")


def _macro_scores() -> Iterator[Recomputed]:
    """SurgRec, table 4: mean and smallest of the domains as they are printed."""
    for group in _grouped(_surgrec_scores(), lambda row: row.model):
        by_name = {row.dataset: row for row in group}
        parts = [by_name[domain] for domain in DOMAINS]
        yield _mean(by_name["Overall macro"], parts, f"{group[0].model} / Overall macro")
        yield _judged(by_name["Worst domain"], f"{group[0].model} / Worst domain", min(map(_number, parts)), 0.0)


def _differences() -> Iterator[Recomputed]:
    """SurgRec, table 4: what a model gains on another."""
    scores = {(row.model, row.dataset): _number(row) for row in _surgrec_scores()}
    for row in published_rows("SurgRec", "4"):
        if row.model in DIFFERENCES:
            model, other = DIFFERENCES[row.model]
            value = scores[model, row.dataset] - scores[other, row.dataset]
            yield _judged(row, f"{row.model} {row.dataset}", value, 2 * _half_unit(row))


def _gains() -> Iterator[Recomputed]:
    """The medical benchmark, table 5: gains of fine-tuning, in points of a hundred."""
    rows = published_rows("SAM2-Med-Benchmark", "5")
    scores = {(row.dataset, row.model, row.metric): row for row in rows}
    for row in rows:
        if row.model == "improvement":
            metric = row.metric.removesuffix("_gain_pct_points")
            before, after = (scores[row.dataset, model, metric] for model in ("SAM2-T", "SAM2-T fine-tuned"))
            value = 100 * (_number(after) - _number(before))
            yield _judged(row, f"{row.metric} {row.dataset}", value, 200 * _half_unit(before))


def _prompt_differences() -> Iterator[Recomputed]:
    """SurgRec, table 3: what the second wording of the question gains on the first."""
    for group in _grouped(published_rows("SurgRec", "3"), lambda row: (row.dataset, row.model)):
        by_setting = {row.setting: row for row in group}
        if row := by_setting.get("P2-P1 as printed"):
            value = _number(by_setting["zero-shot P2"]) - _number(by_setting["zero-shot P1"])
            yield _judged(row, f"{row.model} {row.dataset}", value, 2 * _half_unit(row))


def _repetitions() -> Iterator[Recomputed]:
    """Figures that a paper prints twice."""
    for row in published_rows("SAM2S", "4"):
        for table in "23":
            for other in published_rows("SAM2S", table):
                same = (other.dataset, other.model, other.metric) == (row.dataset, row.model, row.metric)
                weights, prompt = row.setting.split("|")
                if same and other.setting.startswith(weights) and other.setting.endswith(prompt):
                    yield _repeated(row, other, "average")
    for row in published_rows("SAM2-Med-Benchmark", "3"):
        if row.setting == "3D init=Default":
            for other in published_rows("SAM2-Med-Benchmark", "2"):
                if (other.dataset, other.model, other.metric) == (row.dataset, row.model, row.metric):
                    yield _repeated(row, other, row.model)
    whole = {("CadVidSet", "2"): "CadVidSet", ("BTCV-Aorta", "1"): "Aorta"}
    for row in published_rows("MedSAM-2", "3"):
        for (dataset, table), name in whole.items():
            if row.dataset == dataset and row.setting == "all three (row 4)":
                others = published_rows("MedSAM-2", table)
                yield _repeated(
                    row, next(o for o in others if (o.model, o.dataset) == ("MedSAM-2", name)), "full-model"
                )


def _surgrec_scores() -> list[PublishedRow]:
    return [row for row in published_rows("SurgRec", "4") if row.metric == "Acc@1"]


def _repeated(row: PublishedRow, other: PublishedRow, name: str) -> Recomputed:
    value = _number(other)
    if _number(row) > 1 >= value:
        value *= 100  # one table in percent, the other in shares of one
    return _judged(row, f"{name} {row.dataset} vs Table {other.table} {other.dataset}", value, 0.0)


def _mean(row: PublishedRow, parts: Sequence[PublishedRow], subject: str) -> Recomputed:
    value = fmean(map(_number, parts))
    one = _judged(row, subject, value, 0.0)
    if one.verdict == "agrees":
        return one
    may_round = abs(_number(row) - value) <= _half_unit(row) + _half_unit(parts[0]) + EPSILON
    return Recomputed(row, subject, value, "within rounding" if may_round else "not explained")


def _judged(row: PublishedRow, subject: str, value: float, slack: float) -> Recomputed:
    """Whether a figure rounds to what is printed, up to `slack`."""
    agrees = abs(_number(row) - value) <= _half_unit(row) + slack + EPSILON
    return Recomputed(row, subject, value, "agrees" if agrees else "not explained")


def _number(row: PublishedRow) -> float:
    if row.value is None:
        raise ValueError(f"{row.paper}, table {row.table}: {row.printed!r} of {row.model} is not a number")
    return row.value


def printed_digits(row: PublishedRow) -> int:
    """Digits after the point in which the figure's table prints its metric; the files lost zeros at the end."""
    return _digits(row.paper, row.table, row.metric)


@cache
def _digits(paper: str, table: str, metric: str) -> int:
    rows = (row for row in published_rows(paper, table) if row.metric == metric and row.value is not None)
    return max(len(row.printed.partition(".")[2]) for row in rows)


def _half_unit(row: PublishedRow) -> float:
    """Half a unit of the last digit that the table prints."""
    return 0.5 * 10.0 ** -printed_digits(row)


def _row_name(row: PublishedRow, rows: Iterable[PublishedRow]) -> str:
    """The model, and what tells its row from its other ones among `rows`."""
    others = [[other.dataset, *other.setting.split("|")] for other in rows if other.model == row.model]
    own = [row.dataset, *row.setting.split("|")]
    return " ".join([row.model, *(word for word in own if any(word not in other for other in others))])


def _split(
    group: Sequence[PublishedRow], is_whole: Callable[[PublishedRow], bool]
) -> tuple[PublishedRow, list[PublishedRow]]:
    """The one row that is made of the others, and these."""
    (whole,) = [row for row in group if is_whole(row)]
    return whole, [row for row in group if row is not whole]


def _grouped(rows: Iterable[PublishedRow], key: Callable[[PublishedRow], object]) -> list[list[PublishedRow]]:
    groups: dict[object, list[PublishedRow]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return list(groups.values())
