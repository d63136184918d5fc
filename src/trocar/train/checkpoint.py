"""Checkpoints: everything that a run needs to go on as if it had not stopped."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LAST = "last.pt"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run after `step` steps and `seconds` of training.

    Args:
        network: weights as trained.
        average: their moving average, which is what is used and shipped.
        optimiser: state of AdamW.
        noted: figures of the steps since the last line of the log.
        best: the best score in validation so far; None before the first.
    """

    step: int
    seconds: float
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    noted: dict[str, list[float]] = field(default_factory=dict)
    best: float | None = None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the whole file beside `path`, then rename it."""
    part = path.with_name(path.name + ".part")
    torch.save(vars(checkpoint), part)
    os.replace(part, path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint of ours.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: there is no run to go on with; start without --resume")
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, TypeError, EOFError) as error:
        raise ValueError(f"{path} is not a training checkpoint: {error}".splitlines()[0]) from error
