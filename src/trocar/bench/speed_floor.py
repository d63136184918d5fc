"""How fast a frame could be: the machine's own rates, and the floor that a frame's operations and bytes set under it.

The roofline of Williams, Waterman and Patterson (2009): no frame is quicker than its operations at the rate of a large
matrix product, nor than its weights at the rate at which memory is copied. Rates are measured here, on the device and
in the precision of the frame. On a CPU both sides are told in processor time, of all cores together, which other work
on the machine does not stretch; on a GPU on the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trocar.bench.work import Work
from trocar.model.network import Network

REPEATS = 5
PRODUCT = {"cpu": 1536, "cuda": 8192}  # side of the matrices
COPIED = {"cpu": 1 << 26, "cuda": 1 << 30}  # bytes


@dataclass(frozen=True)
class Rates:
    """What a device can do at best: operations and bytes a second; on a CPU a second of one core."""

    operations: float
    bytes: float


def machine_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure both, each as the best of a few tries."""
    side, size = (table.get(device.type, table["cpu"]) for table in (PRODUCT, COPIED))
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = _best_seconds(lambda: left @ right, device)
    copied = _best_seconds(lambda: target.copy_(source), device)
    return Rates(2 * side**3 / product, 2 * size / copied)


def floor_figures(work: Work, frames: int, network: Network, rates: Rates, frame_ms: float) -> dict[str, Any]:
    """A frame beside its floor, as JSON takes it.

    Args:
        work: what was counted.
        frames: in so many frames.
        network: whose weights a frame reads once at least.
        rates: of the machine.
        frame_ms: what the frame takes, on the clock that the rates were measured with.
    """
    weights = sum(one.numel() * one.element_size() for one in network.parameters())
    operations, moved = work.operations / frames, work.bytes / frames
    by_operations, by_weights = 1000 * operations / rates.operations, 1000 * weights / rates.bytes
    floor = max(by_operations, by_weights)
    return {
        "operations": round(operations),
        "weight_bytes": weights,
        "moved_bytes": round(moved),
        "operations_per_second": round(rates.operations),
        "bytes_per_second": round(rates.bytes),
        "floor_ms": round(floor, 3),
        "floor_by": "operations" if by_operations >= by_weights else "weights",
        "moving_ms": round(1000 * moved / rates.bytes, 3),
        "frame_ms": round(frame_ms, 3),
        "frame_over_floor": round(frame_ms / floor, 2),
    }


def _best_seconds(call: Callable[[], Tensor], device: torch.device) -> float:
    now = time.perf_counter if device.type == "cuda" else time.process_time
    taken = []
    for _ in range(REPEATS + 1):  # the first is a warm-up
        _wait(device)
        began = now()
        call()
        _wait(device)
        taken.append(now() - began)
    return max(min(taken[1:]), 1e-9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
