"""The page of SurgRec's experiment says what its results say, and the results are those of the recipe."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from trocar.datasets.procedure_scenes import DOMAINS
from trocar.settings import read_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/surgrec-experiment.md").read_text(encoding="utf-8")
RESULTS = json.loads((ROOT / "docs/results/surgrec-experiment.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    found = importlib.util.spec_from_file_location("page_tables", ROOT / "scripts/surgrec_experiment_page.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_table_stands_in_the_page_as_it_follows_from_the_results(tables: ModuleType) -> None:
    assert [name for name, table in tables.tables(RESULTS).items() if table not in PAGE] == []


def test_figures_between_the_tables_are_those_of_the_results() -> None:
    words = " ".join(PAGE.split())
    finding = "rendered/endoscopy/finding"
    for pair in ("mae balanced", "mae raw", "jepa balanced", "jepa raw"):
        one = RESULTS["differences"][f"{pair} - scratch probe"][finding]
        low, high = (f"{100 * one[end]:+.1f}" for end in ("low", "high"))
        start = pair.split()[1]
        gain = re.escape(f"{100 * one['difference']:+.1f}")
        assert re.search(rf"{gain} (points )?{start} \({re.escape(f'{low} to {high}')}\)", words), pair
    columns = (*DOMAINS, "macro", "worst")
    shown = [found[column] for found in RESULTS["differences"].values() for column in columns]
    outside = sum(not one["low"] <= 0 <= one["high"] for one in shown)
    assert f"Of {len(shown)} intervals {outside} leave out 0" in words
    cost = RESULTS["cpu_minutes"]
    assert f"{cost['all']:.0f} minutes of processor time, of which {cost['of_it_pretraining']:.0f} for" in words


def test_the_results_are_those_of_the_recipe() -> None:
    recipe = read_table(ROOT / "recipes/surgrec-experiment.toml")
    used = RESULTS["experiment"]
    assert (used["curation"], used["corpus_seed"], used["seeds"]) == ("curate-rendered.toml", 11, recipe["seeds"])
    for family in ("mae", "jepa"):
        assert used[family]["steps"] == recipe[family]["steps"]
        for part in ("encoder", family, "sampling", "schedule"):
            assert {key: used[family][part][key] for key in recipe[family][part]} == recipe[family][part]
    for method, training in (("probe", "probe"), ("full", "full")):
        assert used[method]["method"] == recipe[method]["method"]
        for part in ("rendered", training):
            assert {key: used[method][part][key] for key in recipe[method][part]} == recipe[method][part]


def test_means_of_domains_follow_from_tasks_and_differences_from_means() -> None:
    for arm, found in RESULTS["arms"].items():
        domains = {
            domain: [one["mean"] for name, one in found["tasks"].items() if name.split("/")[1] == domain]
            for domain in DOMAINS
        }
        for domain, means in domains.items():
            assert found[domain]["mean"] == pytest.approx(sum(means) / 2), arm
        assert found["macro"]["mean"] == pytest.approx(sum(sum(means) / 2 for means in domains.values()) / 4), arm
    for pair, gains in RESULTS["differences"].items():
        family, rest = pair.split(" ", 1)
        starts, method = rest.rsplit(" ", 1)
        one, other = (RESULTS["arms"][f"{family} {start} {method}"] for start in starts.split(" - "))
        for column in (*DOMAINS, "macro"):
            assert gains[column]["difference"] == pytest.approx(one[column]["mean"] - other[column]["mean"])
            assert gains[column]["low"] <= gains[column]["difference"] <= gains[column]["high"]


def test_no_hidden_pixel_reached_a_prediction_and_no_path_of_a_machine_is_kept() -> None:
    assert all(one["largest_leak"] == 0 for one in RESULTS["pretraining"].values())
    assert not any(part in json.dumps(RESULTS) for part in ("/tmp", "/work", "/home", "/root"))
