"""A run that is killed without a word goes on as if it had not been; several processes learn what one learns."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_run import run_here

from trocar.train.checkpoint import LAST, read_checkpoint

ROOT = Path(__file__).parents[2]
STEPS = 8


def command(out: Path, rate: float, clip_share: float, *more: str) -> list[str]:
    script = str(ROOT / "tests" / "train" / "toy_run.py")
    return [sys.executable, script, str(out), str(STEPS), str(rate), str(clip_share), *more]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", **more}


def curve(out: Path) -> list[dict[str, Any]]:
    """The lines of the log, without what the clock says."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    clock = {"seconds", "steps_per_s", "samples_per_s", "peak_memory_gb"}
    return [{name: value for name, value in line.items() if name not in clock} for line in lines]


def start_team(size: int, given: list[str]) -> list[subprocess.Popen[bytes]]:
    """What torchrun does on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(given, env=environment(RANK=str(rank), LOCAL_RANK=str(rank), **own), stdout=subprocess.DEVNULL)
        for rank in range(size)
    ]


def run_team(size: int, given: list[str]) -> None:
    running = start_team(size, given)
    assert [process.wait(timeout=300) for process in running] == [0] * size


def kill_at_random(running: list[subprocess.Popen[bytes]], out: Path) -> None:
    """SIGKILL for all at once, when a random number of steps is in the log and there is a checkpoint."""
    log, wanted = out / "log.jsonl", random.randrange(3, STEPS - 1)
    while all(process.poll() is None for process in running):
        reached = log.read_text(encoding="utf-8").count("\n") * 2 if log.is_file() else 0
        if reached >= wanted and (out / LAST).is_file():
            break
        time.sleep(0.01)
    for process in running:
        process.send_signal(signal.SIGKILL)
    ended = [process.wait() for process in running]
    assert ended == [-signal.SIGKILL] * len(running), "the run was over before it could be killed"
    assert read_checkpoint(out / LAST).step < STEPS


@pytest.mark.slow
def test_killed_at_any_moment_a_run_resumes_with_the_same_curve(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole, 1e-3, 0.4), env=environment(), check=True, timeout=300)
    process = subprocess.Popen(command(killed, 1e-3, 0.4), env=environment(), stdout=subprocess.DEVNULL)
    kill_at_random([process], killed)
    with (killed / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')  # a line that was being written
    subprocess.run(command(killed, 1e-3, 0.4, "--resume"), env=environment(), check=True, timeout=300)
    assert curve(killed) == curve(whole)
    end, expected = read_checkpoint(killed / LAST), read_checkpoint(whole / LAST)
    assert end.step == STEPS
    for name, value in expected.average.items():
        assert torch.equal(end.average[name], value), name


@pytest.mark.slow
def test_two_processes_sum_the_gradients_that_one_sums(tmp_path: Path) -> None:
    """With a rate of nothing, so that only the sums are compared, of eight batches of images and clips.

    AdamW's moving mean of the gradients is theirs but for the order of the sums.
    """
    run_here(tmp_path / "one", STEPS, 0.0, 0.4)
    run_team(2, command(tmp_path / "two", 0.0, 0.4))
    one, two = (read_checkpoint(tmp_path / name / LAST).optimiser["state"] for name in ("one", "two"))
    assert one.keys() == two.keys()
    for number, state in one.items():
        largest = float(state["exp_avg"].abs().max())
        assert torch.allclose(two[number]["exp_avg"], state["exp_avg"], rtol=1e-4, atol=1e-4 * largest + 1e-8), number
    assert_alike(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_a_team_that_is_killed_goes_on_with_another_number_of_processes_and_learns_the_same(tmp_path: Path) -> None:
    """On images and clips, at a real rate: two processes are killed, three go on, and one would have learned that."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_here(whole, STEPS, 1e-3, 0.4)
    kill_at_random(start_team(2, command(killed, 1e-3, 0.4)), killed)
    run_team(3, command(killed, 1e-3, 0.4, "--resume"))
    assert_alike(killed, whole)
    names = {name for line in curve(whole) for name in line}
    assert {"total", "clip_total"} <= names
    end, expected = read_checkpoint(killed / LAST), read_checkpoint(whole / LAST)
    assert end.step == expected.step == STEPS
    for name, value in expected.network.items():
        # AdamW makes whole steps of rounding where a gradient is nothing, as that of a key's bias is.
        assert torch.allclose(end.network[name], value, atol=1e-3), name


def assert_alike(out: Path, whole: Path) -> None:
    found, expected = curve(out), curve(whole)
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=2e-3), one["step"]
