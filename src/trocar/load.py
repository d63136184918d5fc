"""Names into objects: the only place where the name of a model, a policy or a data set is resolved."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from trocar.datasets import DATASETS, Dataset
from trocar.memory import POLICIES, MemoryPolicy
from trocar.memory.knobs import knob_values
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
        published = next((name for name, info in MODELS.items() if info.is_published_as(path)), None)
        network = load_network(published, path) if published else open_network(path)
    else:
        raise UnknownName("model", model, MODELS)
    return network.to(device or best_device()).eval()


def load_dataset(name: str) -> Dataset:
    """What is known about a data set, and the reader of its files.

    Raises:
        UnknownName: no such data set.
    """
    if name not in DATASETS:
        raise UnknownName("data set", name, DATASETS)
    found: Dataset = import_module(f"trocar.datasets.{DATASETS[name]}").DATASET
    return found


def best_device() -> str:
    """The fastest device that torch sees: "cuda", "mps" or "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_memory(spec: str = "recent", **options: Any) -> MemoryPolicy:
    """A memory policy with its knobs.

    Args:
        spec: a name of `trocar policies`, alone or as NAME:key=value,key=value, or the path of a TOML file (*.toml)
            with `policy = "NAME"` and a line for each knob.
        options: further knobs; they go before those in `spec`.

    Raises:
        UnknownName: no such policy.
        FileNotFoundError: no such file.
        ValueError: the policy has no such knob, or its value is not what it takes.
    """
    settings = memory_settings(spec, **options)
    return POLICIES[settings.pop("policy")](**settings)


def memory_settings(spec: str = "recent", **options: Any) -> dict[str, Any]:
    """What `load_memory` makes of the same: the policy's name under "policy", and the value of every knob."""
    said = _memory_file(Path(spec)) if spec.endswith(".toml") else _memory_text(spec)
    name = str(said.pop("policy"))
    if name not in POLICIES:
        raise UnknownName("memory policy", name, POLICIES)
    return {"policy": name, **knob_values(name, POLICIES[name], said | options)}


def _memory_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: give a memory policy's name, or the path of a TOML file")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error
    if "policy" not in said:
        raise ValueError(f'{path} names no memory policy: add a line like policy = "recent"')
    return said


def _memory_text(spec: str) -> dict[str, Any]:
    name, _, rest = spec.partition(":")
    said: dict[str, Any] = {"policy": name}
    for pair in rest.split(",") if rest else []:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not key or not equals or key in said:
            raise ValueError(f"memory {spec!r}: {pair!r} is not a new key=value; write NAME:key=value,key=value")
        said[key] = value
    return said
