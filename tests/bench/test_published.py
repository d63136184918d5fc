"""Every printed average, total and difference is worked out again: exactly the known inconsistencies come out."""

from __future__ import annotations

import re
from collections import Counter
from statistics import fmean

import pytest

from trocar.bench.published_checks import DOMAINS, Recomputed, inconsistency_of, recomputed
from trocar.bench.published_tables import (
    PAPERS,
    PublishedRow,
    known_inconsistencies,
    published_rows,
    published_table_names,
)

ABOUT_FIGURES = ("off by", "printed-recomputed", "delta row", "mismatch")


def deviating() -> dict[tuple[str, str, str], Recomputed]:
    return {(one.row.paper, one.row.table, one.subject): one for one in recomputed() if one.verdict != "agrees"}


def scores(paper: str, table: str, metric: str) -> dict[str, dict[str, float]]:
    """Dataset -> model -> value."""
    found: dict[str, dict[str, float]] = {}
    for row in published_rows(paper, table):
        if row.metric == metric and row.value is not None:
            found.setdefault(row.dataset, {})[row.model] = row.value
    return found


def test_exactly_the_known_inconsistencies_come_out() -> None:
    known = {
        (one.paper, one.table, one.subject): one
        for one in known_inconsistencies()
        if one.verdict.startswith(ABOUT_FIGURES)
    }
    assert len(known) == 34
    found = deviating()
    assert set(found) == set(known)
    for key, one in found.items():
        assert (one.verdict == "within rounding") == known[key].is_rounding, key
        assert float(known[key].printed) == one.row.value, key
        assert one.value == pytest.approx(float(known[key].recomputed), abs=0.006), key
        if off := re.search(r"[+-]\d+\.\d+", known[key].verdict):
            digits = len(off[0].partition(".")[2])
            assert (one.row.value or 0) - one.value == pytest.approx(float(off[0]), abs=0.51 * 10**-digits), key


def test_every_row_that_says_it_is_an_average_is_worked_out_again() -> None:
    covered = {one.row for one in recomputed()}
    assert len(covered) > 250
    left = [
        row for row in published_rows("SAM2S") if row.dataset.startswith(("Average", "Total")) and row not in covered
    ]
    assert {row.table for row in left} == {"4"}, "its columns are printed for one and three clicks only"
    assert {row.setting.split("|")[1] for row in left} == {"5-click", "bbox", "GT mask"}
    averages = [row for row in published_rows("MedSAM-2") if row.dataset == "Average"]
    averages += [row for table in "12" for row in published_rows("SurgicalSAM", table) if row.metric == "mcIoU"]
    averages += [row for row in published_rows("SurgicalSAM") if row.metric == "MeanIoU"]
    averages += published_rows("SurgRec", "4")
    assert not [row for row in averages if row not in covered]


def test_averages_stand_for_the_columns_that_their_table_has() -> None:
    columns = Counter(
        (row.table, row.model, row.setting)
        for table in "2367"
        for row in published_rows("SAM2S", table)
        if row.metric == "J&F" and row.dataset != "Average"
    )
    assert {table: {n for (name, *_), n in columns.items() if name == table} for table in "2367"} == {
        "2": {8},
        "3": {8},
        "6": {4},
        "7": {4},
    }


def test_domains_are_those_that_reproduce_the_row_without_balancing() -> None:
    """And together they are the sixteen datasets, each once."""
    datasets = scores("SurgRec", "2", "Acc@1")
    assert sorted(name for names in DOMAINS.values() for name in names) == sorted(datasets)
    printed = scores("SurgRec", "4", "Acc@1")
    for domain, names in DOMAINS.items():
        mean = fmean(datasets[name]["SurgRec-MAE (w/o bal.)"] for name in names)
        assert mean == pytest.approx(printed[domain]["SurgRec-MAE (w/o bal.)"], abs=0.005)


def test_what_was_worked_out_since_is_what_the_tables_give() -> None:
    datasets = scores("SurgRec", "2", "Acc@1")
    for row in published_rows("SurgRec", "4_recomputed_from_2"):
        domains = [fmean(datasets[name][row.model] for name in names) for names in DOMAINS.values()]
        wanted = dict(zip(DOMAINS, domains, strict=True)) | {
            "Overall macro": fmean(domains),
            "Worst domain": min(domains),
            "16-dataset mean": fmean(models[row.model] for models in datasets.values()),
        }
        assert row.value == pytest.approx(wanted[row.dataset], abs=1e-4)
    for row in published_rows("SurgRec", "2_implied_test_size"):
        for value in datasets[row.dataset].values():
            hits = None if row.value is None else round(value * row.value / 100) / row.value * 100
            assert hits is None or hits == pytest.approx(value, abs=0.00501)


def test_claims_of_the_texts_against_their_tables() -> None:
    images = scores("SAM2-Med-Benchmark", "1", "DSC")
    assert sorted(name for name, models in images.items() if max(models, key=models.__getitem__) != "MedSAM") == [
        "Fundus",
        "Light Microscope",
        "PET",
    ]
    gains = scores("SAM2-Med-Benchmark", "5", "DSC_gain_pct_points")
    assert max((models["improvement"], organ) for organ, models in gains.items()) == (46.09, "Esophagus")
    organs = scores("MedSAM-2", "1", "Dice")
    best = [name for name, models in organs.items() if max(models, key=models.__getitem__) == "MedSAM-2"]
    assert best == ["Gall.", "Eso.", "Panc.", "AG", "Average"]
    clips = scores("SurgRec", "2", "Acc@1")
    assert sum(models["SurgRec-JEPA"] <= models["JEPA"] for models in clips.values()) == 7
    assert [name for name, models in clips.items() if models["SurgRec-MAE"] <= models["VideoMAE"]] == ["Cataract-21"]
    languages = scores("SurgRec", "3", "Acc@1")["AutoLaparo"]
    assert languages["SurgRec-MAE"] == languages["Qwen3-VL-8B"] == 22.58


def test_a_figure_leads_to_what_is_known_about_it() -> None:
    by_row = {(row.table, row.dataset, row.model, row.setting): row for row in published_rows("SAM2S")}
    wrong = inconsistency_of(by_row["6", "Average", "SAM2Long", "vanilla|512|3-click"])
    assert wrong is not None
    assert (wrong.printed, wrong.recomputed, wrong.is_rounding) == ("58.09", "57.992", False)
    assert inconsistency_of(by_row["2", "Average", "SAM2S (ours)", "fine-tuned SA-SV|512|3-click"]) is None
    assert inconsistency_of(by_row["2", "EV17", "SAM2S (ours)", "fine-tuned SA-SV|512|3-click"]) is None


def test_reading() -> None:
    first = published_rows("SAM2S", "2")[0]
    assert first == PublishedRow("SAM2S", "2", "EV17", "SAM2", "vanilla|1024|3-click", "J&F", "75.37")
    assert first.value == 75.37
    assert "2511.16618" in first.citation
    assert published_table_names("SurgRec") == ["1", "2", "2_implied_test_size", "3", "4", "4_recomputed_from_2"]
    assert {row.table for row in published_rows("SurgRec")} == {"1", "2", "3", "4"}
    assert published_rows("SurgRec", "1")[0].value is None
    for paper in PAPERS:
        assert all(row.paper == paper for row in published_rows(paper))


def test_unknown_papers_and_tables_are_named() -> None:
    with pytest.raises(ValueError, match=r"no published tables of 'SAM3'.*SAM2S"):
        published_rows("SAM3")
    with pytest.raises(ValueError, match=r"SAM2S has no table '9'.*1, 2, 3"):
        published_rows("SAM2S", "9")
