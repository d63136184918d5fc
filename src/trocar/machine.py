"""What a figure was measured on, and how much memory it took."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
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


def multiplies_bfloat16() -> bool:
    """Whether this machine's processor has instructions for bfloat16; True where that cannot be told."""
    known = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    if platform.machine().lower() not in ("x86_64", "amd64") or None in known:
        return True
    return any(ask() for ask in known if ask is not None)


def load_average() -> list[float]:
    """Of the last 1, 5 and 15 minutes: how many threads of all programs were running, or waiting for a processor."""
    return [round(one, 1) for one in psutil.getloadavg()]


def resident_mb() -> float:
    """Resident memory of this process now, in MiB."""
    return float(psutil.Process().memory_info().rss) / (1 << 20)


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, in MiB."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / (1 << 20)
    # On Linux `getrusage` also counts what the process was before it became another program: a large parent's copy.
    status = Path("/proc/self/status")
    if status.exists():
        said = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in said:
            return int(said["VmHWM"].split()[0]) / 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
