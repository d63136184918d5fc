"""What a figure was measured on, and how much memory it took."""

from __future__ import annotations

import platform
import sys
from typing import Any

import psutil
import torch

from trocar.model.network import Network


def machine_record(network: Network) -> dict[str, Any]:
    """Operating system, torch, how many threads it computes with, and the network's device; as JSON takes it."""
    return {
        "system": platform.platform(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": str(network.absent_pointer.device),
    }


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, in MiB."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / (1 << 20)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
