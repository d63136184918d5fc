"""Clips, a network and manifests for tests of `trocar batch`."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import torch

from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights

ROWS, COLUMNS = 48, 64
BOX = "--box 2,8,22,32@0"


def make_weights(path: Path, seed: int = 3) -> Path:
    """A tiny network of random weights."""
    torch.manual_seed(seed)
    save_weights(Network(tiny_random()), path, {})
    return path


def make_clip(path: Path, frames: int, shade: int = 90) -> Path:
    """A square that wanders over grey."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, ROWS, "yuv420p"
        for number in range(frames):
            picture = np.full((ROWS, COLUMNS, 3), shade, np.uint8)
            left = number % (COLUMNS - 20)
            picture[10:30, left : left + 20] = (200, 60, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def make_manifest(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """A csv with the columns that the rows have."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def masks_of(out: Path) -> dict[str, bytes]:
    """Every file of masks under a batch's folder."""
    files = [*out.rglob("*.png"), *out.rglob("masks.jsonl")]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def records_of(out: Path) -> dict[str, object]:
    """What every run.json says, but for times and what the machine did."""
    own = ("frames_per_second", "seconds", "peak_memory_mb", "outputs", "machine", "frames_tracked", "snapshot_bytes")
    said = {str(path.relative_to(out)): json.loads(path.read_text()) for path in out.rglob("run.json")}
    return {name: {key: value for key, value in one.items() if key not in own} for name, one in said.items()}


def summary_of(out: Path) -> dict[str, dict[str, str]]:
    """The rows of summary.csv by item."""
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        return {row["item"]: row for row in csv.DictReader(file)}


def command(manifest: Path, out: Path, weights: Path, *more: str) -> list[str]:
    """`trocar batch` as a process of its own."""
    said = [str(manifest), "--out", str(out), "--model", str(weights), "--device", "cpu", *more]
    return [sys.executable, "-m", "trocar", "batch", *said]


def environment() -> dict[str, str]:
    """That of this process, with one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1"}
