"""A server that is killed at random moments has everything that it acknowledged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "kills.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/kill_annotation.py"), "--rounds", "20", "--seed", "7", "--out", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text())
    assert figures["rounds"] == 20
    assert figures["acknowledged"]["prompt"] > 5
