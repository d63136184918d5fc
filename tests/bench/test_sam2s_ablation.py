"""The ablation's script runs from beginning to end, very small, and does nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/sam2s_ablation.py"


@pytest.mark.slow
def test_all_rows_are_trained_scored_and_shown(tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        command = [sys.executable, str(SCRIPT), *arguments, "--out", str(tmp_path), "--plan", "toy"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    for step in ("render", "start", "run", "score", "cross"):
        call(step)
    shown = call("table", "--write", str(tmp_path / "results.json"))
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(found["rows"]) == ["start", "sam2", "divemem", "tsl", "arl", "divemem-tsl", "sam2s"]
    assert list(found["labels"]) == ["hard", "arl", "arl-as-written"]
    assert found["rows"]["sam2"]["j_and_f"]["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    policies = {name: row["policy"].partition(":")[0] for name, row in found["rows"].items()}
    assert {name for name, policy in policies.items() if policy == "divemem"} == {"divemem", "divemem-tsl", "sam2s"}
    assert {name: row["policy"] for name, row in found["crossed"].items()} == dict.fromkeys(
        ("divemem", "divemem-tsl", "sam2s"), "recent"
    )
    heads = {name: row["parameters"] for name, row in found["rows"].items()}
    assert heads["tsl"] > heads["sam2"] == heads["arl"] < heads["divemem"] < heads["sam2s"]
    assert all(f"| {name} |" in shown for name in (*found["rows"], *found["labels"]))
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    assert len(times) == 10
    call("run")
    assert call("score") == ""
    assert times == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
