"""Names into objects: the only place where a name of a model or a policy is resolved."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from trocar.memory import POLICIES, MemoryPolicy
from trocar.model.network import Network


class UnknownName(ValueError):
    """A name that no table knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"there is no {kind} {name!r}; {hint}{kind} names are: {', '.join(names)}")


def load(model: str = "nano", device: str | None = None) -> Network:
    """A network with its weights, ready to run.

    Args:
        model: a name of `trocar models`, or the path of a weights file.
        device: "cpu", "cuda", "mps" or None for the best that is there.

    Raises:
        UnknownName: no such model.
        FileNotFoundError: its weights are not on this machine; the message says how to get them.
    """
    from trocar.model.checkpoint import open_network
    from trocar.model.registry import MODELS, load_network

    path = Path(model)
    if model in MODELS:
        network = load_network(model)
    elif path.is_file():
        published = next((name for name, info in MODELS.items() if info.repository and path.name in info.files), None)
        network = load_network(published, path) if published else open_network(path)
    else:
        raise UnknownName("model", model, MODELS)
    return network.to(device or best_device()).eval()


def best_device() -> str:
    """The fastest device that torch sees: "cuda", "mps" or "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_memory(policy: str = "recent", **options: Any) -> MemoryPolicy:
    """A memory policy by name, with its own options.

    Raises:
        UnknownName: no such policy.
        ValueError: an option that it does not take.
    """
    if policy not in POLICIES:
        raise UnknownName("memory policy", policy, POLICIES)
    try:
        return POLICIES[policy](**options)
    except TypeError as error:
        raise ValueError(f"memory policy {policy!r}: {error}") from error
