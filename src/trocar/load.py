"""Names into objects: the only place where the name of a model, a policy or a data set is resolved."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from trocar.datasets import DATASETS, Dataset
from trocar.memory import POLICIES, MemoryPolicy
from trocar.memory.knobs import knob_values
from trocar.memory.spelling import said_policy
from trocar.model.network import Network
from trocar.track.prompter import Prompter


class UnknownName(ValueError):
    """A name that no table knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"there is no {kind} {name!r}; {hint}{kind} names are: {', '.join(names)}")


def load(model: str = "nano", device: str | None = None, precision: str = "fp32") -> Network:
    """A network with its weights, ready to run.

    Args:
        model: a name of `trocar models`, or the path of a weights file.
        device: "cpu", "cuda", "mps" or None for the best that is there.
        precision: "fp32"; "bf16" for graphics cards; "int8" for CPUs: faster, masks differ a little.

    Raises:
        UnknownName: no such model.
        FileNotFoundError: its weights are not on this machine; the message says how to get them.
        ValueError: no such precision, or int8 cannot be had here.
    """
    from trocar.model.checkpoint import open_network
    from trocar.model.precision import in_precision
    from trocar.model.registry import MODELS, load_network

    path = Path(model)
    if model in MODELS:
        network = load_network(model)
    elif path.is_file():
        published = next((name for name, info in MODELS.items() if info.is_published_as(path)), None)
        network = load_network(published, path) if published else open_network(path)
    else:
        raise UnknownName("model", model, MODELS)
    return in_precision(network.to(device or best_device()).eval(), precision)


def load_dataset(name: str) -> Dataset:
    """What is known about a data set, and the reader of its files.

    Raises:
        UnknownName: no such data set.
    """
    if name not in DATASETS:
        raise UnknownName("data set", name, DATASETS)
    found: Dataset = import_module(f"trocar.datasets.{DATASETS[name]}").DATASET
    return found


def load_prompter(network: Network, classes: Sequence[str] = (), model: str = "nano-classes") -> Prompter:
    """A class model as a session's prompter: it finds objects by the name of their class.

    Args:
        network: the one that the session tracks with, and that the class model was trained on.
        classes: names of the classes to look for, see `trocar classes`; all of the model's where there are none.
        model: a name of `trocar classes`, or the path of a class model's file.

    Raises:
        ValueError: no such model or class, it was trained on another network's features, or it was never calibrated.
        FileNotFoundError: its file is not on this machine.
    """
    from trocar.classprompt.class_model import open_class_model
    from trocar.classprompt.finder import ClassFinder
    from trocar.classprompt.registry import find_class_model

    return ClassFinder(open_class_model(find_class_model(model), network), network, classes)


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
    said = said_policy(spec)
    name = str(said.pop("policy"))
    if name not in POLICIES:
        raise UnknownName("memory policy", name, POLICIES)
    return {"policy": name, **knob_values(name, POLICIES[name], said | options)}
