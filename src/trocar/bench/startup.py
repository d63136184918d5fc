"""`trocar bench startup`: how long until help is shown, and until the first mask of a fresh process is on disk.

Each command runs in a process of its own, in turns, so that what slows the machine for a while slows all of them.
Two floors stand beside them, which no import of ours can undercut: Python itself, and Python with PyTorch. Files are in
the system's cache after the warm-up, as they are for whoever calls twice; the process is cold, the disk is not.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from trocar.bench.demo import FOLDER, demo_prompts
from trocar.machine import load_average
from trocar.prompts import prompts_to_json
from trocar.threads import processor_count


@dataclass(frozen=True)
class StartUp:
    """What is started.

    Args:
        runs: how often, of which medians are taken.
        model: the network of the first mask.
        device: where it runs; None for the fastest there is.
    """

    runs: int = 7
    model: str = "nano"
    device: str | None = None

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise ValueError(f"start-up is measured in 1 run or more, not {self.runs}")


def measure_start_up(
    options: StartUp, report: Callable[[int, int], object] = lambda done, total: None
) -> dict[str, Any]:
    """Run every command once as a warm-up and then `runs` times, in turns.

    Returns:
        A report that JSON takes: of each command the median, the least and the largest time in seconds from the start
        of its process: until it ended, and for `first mask` until the mask was on disk. `processor` is the median of
        the seconds that processors worked for it: what other work on the machine does not stretch.

    Raises:
        ValueError: a command failed; the message is its own.
    """
    commands: dict[str, list[str]] = {
        "python": ["-c", "pass"],
        "trocar --help": ["-m", "trocar", "--help"],
        "python with torch": ["-c", "import torch"],
        "first mask": ["-m", "trocar", "segment", *_first_frame(options)],
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    total = (options.runs + 1) * len(commands)
    with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
        (Path(folder) / "prompts.json").write_text(prompts_to_json(demo_prompts()), encoding="utf-8")
        for run in range(options.runs + 1):
            for place, (name, command) in enumerate(commands.items()):
                seconds = _seconds(command, Path(folder))
                if run:
                    taken[name].append(seconds)
                report(run * len(commands) + place + 1, total)
    return {
        "runs": options.runs,
        "model": options.model,
        "device": options.device or "the fastest there is",
        "machine": {
            "system": platform.platform(),
            "cores": processor_count(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "load_at_the_end": load_average(),
        },
        "seconds": {
            name: {
                "median": round(median(wall), 3),
                "least": round(min(wall), 3),
                "largest": round(max(wall), 3),
                "processor": round(median(processor), 3),
            }
            for name, (wall, processor) in ((name, tuple(zip(*values, strict=True))) for name, values in taken.items())
        },
    }


def _first_frame(options: StartUp) -> list[str]:
    frame = min((FOLDER / "frames").iterdir())
    device = ["--device", options.device] if options.device else []
    return [str(frame), "--prompts", "prompts.json", "--out", "out", "--model", options.model, *device]


def _seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """From the start of a process to its first mask, or to its end where it makes none; and what processors worked."""
    before, began = _worked(), time.time()
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
    ended = time.time()
    if done.returncode:
        raise ValueError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    masks = [path.stat().st_mtime for path in (folder / "out" / "masks").glob("*.png")] if "segment" in command else []
    return min(masks, default=ended) - began, _worked() - before


def _worked() -> float:
    """Processor seconds of all processes that were waited for; 0 where the system does not count them."""
    return os.times().children_user + os.times().children_system
