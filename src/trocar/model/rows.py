"""Rows of a large network on a CPU: one by one, or several at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from trocar.model.layers import undisturbed
from trocar.model.shares import threads_together

T = TypeVar("T")

LARGE = 1 << 18  # numbers in a row, 1 MB


def goes_by_row(x: Tensor) -> bool:
    """Whether the rows of (R, ...) are computed apart: together large ones would leave a processor's cache."""
    return undisturbed(x) and x[0].numel() >= LARGE


def by_row(work: Callable[[int], T], rows: int) -> list[T]:
    """[work(0), ..., work(rows - 1)], several at once where PyTorch was given several threads.

    Threads that have a row each meet once, when all are done; threads that share the operations of one row meet at the
    end of every operation, and wait there for the last of them.
    """
    threads, own = threads_together(), torch.get_num_threads()
    workers = min(threads, rows)
    if workers < 2:
        return [work(row) for row in range(rows)]
    inference = torch.is_inference_mode_enabled()

    def begin() -> None:
        torch.set_num_threads(threads // workers)

    def alone(row: int) -> T:
        with torch.inference_mode(inference), torch.no_grad():  # a thread knows nothing of another's modes
            return work(row)

    try:
        with ThreadPoolExecutor(workers, "trocar-row", begin) as crew:
            return list(crew.map(alone, range(rows)))
    finally:
        torch.set_num_threads(own)  # parts of PyTorch know one number for all threads: the last one set
