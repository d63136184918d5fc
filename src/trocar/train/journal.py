"""What a run says of itself: a line of `log.jsonl` every few steps, and the same for TensorBoard if it is installed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from trocar.machine import peak_memory_mb

LOG = "log.jsonl"
BOARD = "tensorboard"


class Journal:
    """The log of a run in its folder; another process of the same run keeps none.

    `values` and `steps` are what happened since the last line. They go into checkpoints, so that a resumed run writes
    the lines that it would have written.
    """

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder, self.path, self.writes = folder, folder / LOG, writes
        self.values: dict[str, list[float]] = {}
        self.steps, self.samples, self.since = 0, 0, time.monotonic()
        self._board: Any = None

    def begin(self, step: int) -> None:
        """Go on after a step; lines of later ones, which a run that was killed has left, go: they are trained anew."""
        self.steps, self.samples, self.since = 0, 0, time.monotonic()
        if self.writes:
            _cut(self.path, step)
            if find_spec("tensorboard") is not None:
                board = import_module("torch.utils.tensorboard")
                self._board = board.SummaryWriter(str(self.folder / BOARD), purge_step=step + 1)

    def add(self, values: Mapping[str, float], samples: int, clips: bool) -> None:
        """Note the figures of a step on `samples` samples."""
        self.steps, self.samples = self.steps + 1, self.samples + samples
        for name, value in values.items():
            self.values.setdefault(f"clip_{name}" if clips else name, []).append(value)

    def close_line(self, step: int, state: Mapping[str, float], device: torch.device) -> dict[str, float]:
        """Write the means since the last line, with what else there is to say, and begin anew."""
        now = time.monotonic()
        line = {
            "step": step,
            **state,
            "steps_per_s": round(self.steps / (now - self.since), 3),
            "samples_per_s": round(self.samples / (now - self.since), 3),
            "peak_memory_gb": round(peak_memory_gb(device), 3),
            **{name: round(sum(values) / len(values), 4) for name, values in self.values.items()},
        }
        self.write(line)
        self.values, self.steps, self.samples, self.since = {}, 0, 0, now
        return line

    def write(self, line: Mapping[str, float]) -> None:
        """Append a line as it is; its "step" is where it stands on TensorBoard's axis."""
        if not self.writes:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in line.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(line["step"]))

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _cut(path: Path, step: int) -> None:
    """Keep the lines up to a step; one that was being written when the process was killed goes too."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    part = path.with_name(path.name + ".part")
    part.write_text("".join(kept), encoding="utf-8")
    os.replace(part, path)


def peak_memory_gb(device: torch.device) -> float:
    """The most memory that tensors took on a GPU, or this process on a CPU, in GiB."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / (1 << 30)
    return peak_memory_mb() / 1024
