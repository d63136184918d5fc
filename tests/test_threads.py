"""The rule for threads: what is said to OpenMP, and what a container leaves to its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trocar import threads
from trocar.cli import main


def groups(folder: Path, limits: dict[str, str], own: str) -> tuple[Path, Path]:
    """Control groups of version 2 with these `cpu.max`, and a process in one of them."""
    for name, limit in limits.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "cpu.max").write_text(limit + "\n")
    (folder / "membership").write_text(f"0::/{own}\n")
    return folder, folder / "membership"


def test_the_tightest_limit_around_a_process_counts(tmp_path: Path) -> None:
    limits = {".": "max 100000", "outer": "250000 100000", "outer/inner": "400000 100000", "other": "10000 100000"}
    assert threads.quota(*groups(tmp_path, limits, "outer/inner")) == 2.5


def test_no_limit_is_no_quota(tmp_path: Path) -> None:
    assert threads.quota(*groups(tmp_path, {".": "max 100000"}, "")) is None
    assert threads.quota(tmp_path / "nothing", tmp_path / "nothing") is None


def test_limits_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert threads.quota(tmp_path, tmp_path / "membership") == 1.5
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert threads.quota(tmp_path, tmp_path / "membership") is None


@pytest.fixture
def before_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")


@pytest.mark.usefixtures("before_torch")
@pytest.mark.parametrize("said", threads.SAID)
def test_who_has_decided_how_threads_wait_is_left_alone(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(threads, "quota", lambda: None)
    environment = {said: "0"}
    threads.prepare_threads(environment)
    assert environment == {said: "0"}


@pytest.mark.usefixtures("before_torch")
@pytest.mark.parametrize(("allowed", "count"), [(None, None), (2.5, "2"), (0.5, "1"), (16.0, None), (64.0, None)])
def test_threads_are_as_many_as_may_run(
    monkeypatch: pytest.MonkeyPatch, allowed: float | None, count: str | None
) -> None:
    monkeypatch.setattr(threads, "quota", lambda: allowed)
    monkeypatch.setattr(threads, "affinity", lambda: 16)
    environment: dict[str, str] = {}
    threads.prepare_threads(environment)
    assert environment == {threads.WAIT: "passive"} | ({threads.COUNT: count} if count else {})
    environment = {threads.COUNT: "7"}
    threads.prepare_threads(environment)
    assert environment[threads.COUNT] == "7"
    assert threads.processor_count() == min(16, max(1, int(allowed or 16)))


def test_nothing_is_said_once_torch_is_there() -> None:
    environment: dict[str, str] = {}
    threads.prepare_threads(environment)
    assert environment == {}


def test_commands_prepare_before_torch_is_loaded() -> None:
    """In a fresh process: the rule is in force, and torch was not needed for it."""
    code = (
        "import os, sys; from trocar.cli import main; main(['--version']); "
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in threads.SAID}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "passive False"


def test_the_option_reaches_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_num_threads()
    try:
        assert main(["segment", str(tmp_path / "none.mp4"), "--box", "1,1,2,2", "--threads", str(before + 1)]) == 2
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    capsys.readouterr()
    assert main(["segment", str(tmp_path / "none.mp4"), "--threads", "-1"]) == 2
    assert "--threads must be 1 or more, not -1" in capsys.readouterr().err
