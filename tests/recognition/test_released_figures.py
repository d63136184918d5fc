"""SurgRec's table 2 beside its released splits: what docs/explanation/recognition.md says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from trocar.bench.published_tables import published_rows

RESULTS = Path(__file__).parents[2] / "docs/results/surgrec-released-splits.json"


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


AUDIT = {plain(row["name"]): row for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]}
ROWS = [(AUDIT[plain(row.dataset)], row.model, row.value) for row in published_rows("SurgRec", "2") if row.value]


def test_videomae_does_not_beat_one_constant_answer_on_fifteen_of_sixteen_sets() -> None:
    own = {row["name"]: value - 100 * row["majority"] for row, model, value in ROWS if model == "VideoMAE"}
    assert len(own) == 16
    assert [name for name, gain in own.items() if gain > 0.01] == ["jigsaws"]


def test_how_many_figures_of_the_table_do_not_beat_it() -> None:
    assert len(ROWS) == 16 * 7
    assert sum(value <= 100 * row["majority"] + 0.01 for row, _, value in ROWS) == 52


def test_how_many_sets_choose_on_the_test_clips_and_share_cases() -> None:
    assert sum(row["validation_is_test"] for row in AUDIT.values()) == 9
    shared = {row["name"]: (row["shared_cases"], row["test_cases"]) for row in AUDIT.values() if row["shared_cases"]}
    assert shared == {
        "jigsaws": (8, 8),
        "colonoscopic": (12, 15),
        "hyper-kvasir": (93, 101),
        "kvasir-capsule": (18, 19),
        "ldpolypvideo": (104, 159),
        "lapgyn4": (7, 37),
    }


def test_printed_figures_are_shares_of_so_many_test_clips_but_for_four_sets() -> None:
    def is_share(value: float, clips: int) -> bool:
        return abs(round(value * clips / 100) / clips * 100 - value) <= 0.00501

    broken = {row["name"] for row, _, value in ROWS if not is_share(value, row["test"])}
    assert broken == {"hyper-kvasir", "jigsaws", "lapgyn4", "multibypass140"}
