"""How many threads an operation computes with, and how they wait: the one place where that is decided.

PyTorch's threads meet at the end of every operation, and those that are done first spin until the others are, which
keeps a processor busy. Where other programs run too, that is the processor that the last thread waits for: on two busy
cores two spinning threads take ten times as long as one. So our commands let waiting threads sleep. And in a container
that may use fewer processors than the machine has, PyTorch would start one thread for each of the machine's; our
commands start as many as may run. docs/decisions/0011-waiting-threads-sleep.md has the figures.

Nothing here imports torch before its time: threads are decided when it is loaded.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

WAIT = "OMP_WAIT_POLICY"
COUNT = "OMP_NUM_THREADS"
SAID = (WAIT, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # whoever sets one of these has decided how threads wait
GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def prepare_threads(environment: MutableMapping[str, str] | None = None) -> None:
    """Say to OpenMP how threads wait and how many there are, where the user has not, and before torch is loaded."""
    given = os.environ if environment is None else environment
    if "torch" in sys.modules:
        return
    if not any(name in given for name in SAID):
        given[WAIT] = "passive"
    allowed = quota()
    if COUNT not in given and allowed is not None and allowed < affinity():
        given[COUNT] = str(max(1, math.floor(allowed)))


def use_threads(count: int) -> None:
    """Compute with so many threads an operation.

    Raises:
        ValueError: fewer than one.
    """
    if count < 1:
        raise ValueError(f"--threads must be 1 or more, not {count}")
    import torch

    torch.set_num_threads(count)


def processor_count() -> int:
    """Processors that this process may keep busy."""
    allowed = quota()
    return affinity() if allowed is None else max(1, min(affinity(), math.floor(allowed)))


def affinity() -> int:
    """Processors that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """How many processors' time a container leaves to its processes (Linux control groups); None for all."""
    found = [one for one in (*_unified(groups, membership), *_separate(groups)) if one is not None]
    return min(found, default=None)


def _unified(groups: Path, membership: Path) -> Iterator[float | None]:
    """Version 2: the process's group and those that it lies in each have a limit."""
    lines = _text(membership).splitlines()
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    inside = Path(own)
    for group in (inside, *inside.parents):
        limit, _, period = _text(groups / group / "cpu.max").partition(" ")
        yield _ratio(limit, period)


def _separate(groups: Path) -> Iterator[float | None]:
    """Version 1: one folder for processor time, as a container sees its own."""
    folder = groups / "cpu"
    yield _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(limit: str, period: str) -> float | None:
    try:
        ratio = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return ratio if ratio > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
