"""What a figure was measured on."""

from __future__ import annotations

import platform
from typing import Any

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
