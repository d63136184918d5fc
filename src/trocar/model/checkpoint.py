"""Weights in files: our own safetensors, the releases' `.pt` and `.pth`, and Hugging Face's, read into a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trocar.model.config import NetworkConfig, SemanticConfig
from trocar.model.key_map import MARKS, UNREAD, upstream_name
from trocar.model.network import Network
from trocar.model.sam1 import make_network

LONG_TERM = "memory_attention.long_term_codes"
SEMANTIC = "semantic_head."  # begins the names of a head that published weights lack
PROMPTED_ROW = -1  # row 6 of the seven: the code of prompted frames, which long-term frames resemble most
_POINT_TABLE = "prompt_encoder.point_embed.weight"
_TITLES = {"sam2": "SAM 2", "sam": "SAM"}  # of the families of networks
_SHARED_COPY, _SHARED = "shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding"


class WeightsError(ValueError):
    """A weights file that cannot be read, or does not fit the network."""


def load_weights(network: Network, path: Path) -> None:
    """Copy a file's tensors into a network: ours, the release's or transformers', told apart by their names.

    Every tensor of the file is used exactly once and every one of the network is set; otherwise nothing is changed and
    WeightsError names what is left over. Long-term rows that a file lacks start as copies of the last one it has, or of
    the prompted frames' row; a semantic head that a file lacks stays as it is.
    """
    load_tensors(network, _read(path), str(path))


def load_tensors(network: Network, tensors: Mapping[str, Tensor], source: str) -> None:
    """`load_weights` for tensors that are in memory already; `source` names them in messages."""
    given = dict(tensors)
    family = network.config.family
    layout = _layout(given, family, source)
    if layout == "transformers":
        given = _cut_point_table(given, source)
    own = network.state_dict()
    ready: dict[str, Tensor] = {}
    missing = []
    long_term = given.pop(LONG_TERM, None) if LONG_TERM in own else None
    for name, tensor in own.items():
        if name == LONG_TERM:
            continue
        added = name.startswith(SEMANTIC)
        theirs = name if layout == "trocar" or added else upstream_name(name, layout, family)
        if theirs in given:
            ready[name] = _fit(given.pop(theirs), tensor, theirs, source)
        elif added:
            ready[name] = tensor
        else:
            missing.append(theirs)
    left = sorted(set(given) - {UNREAD.get(layout)})
    if missing or left:
        raise WeightsError(
            f"{source} does not fit the network {network.config.name!r}: "
            f"{_some('it lacks', missing)}{'; ' if missing and left else ''}{_some('nothing takes', left)}"
            "; choose the network that the file was made for"
        )
    if LONG_TERM in own:
        rows = ready["memory_attention.slot_codes"][PROMPTED_ROW:] if long_term is None else long_term
        rows = torch.cat((rows, rows[-1:].expand(max(len(own[LONG_TERM]) - len(rows), 0), -1)))
        ready[LONG_TERM] = _fit(rows, own[LONG_TERM], LONG_TERM, source)
    network.load_state_dict(ready)


def save_weights(network: Network, path: Path, info: Mapping[str, str], dtype: torch.dtype = torch.float16) -> None:
    """Write a network as safetensors that says which network it is.

    Args:
        network: what to write.
        path: where; the file appears whole or not at all.
        info: what else people should know (recipe, data, licence, version), kept as text in the file's head.
        dtype: float16 halves the file; float32 keeps every bit.
    """
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in network.state_dict().items()}
    head = {**info, "config": json.dumps(asdict(network.config))}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata=head)
    part.chmod(0o644)  # safetensors makes files that only their owner can read; installations are shared
    os.replace(part, path)


def open_network(path: Path) -> Network:
    """The network that `save_weights` wrote, in evaluation mode and float32."""
    head = read_head(path)
    if "config" not in head:
        raise WeightsError(f"{path} does not say which network it is for: load it under a model's name")
    network = make_network(_config_from_json(head["config"], str(path)))
    load_weights(network, path)
    return network.eval()


def read_head(path: Path) -> dict[str, str]:
    """The text kept beside the tensors of a safetensors file; empty if there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _config_from_json(text: str, source: str) -> NetworkConfig:
    """A network's sizes from the text in a file's head; WeightsError if it holds other settings than we know."""
    values = json.loads(text)
    known = {field.name for field in fields(NetworkConfig)}
    if not set(values) <= known:
        raise WeightsError(
            f"{source} was written by another version: it sets {', '.join(sorted(set(values) - known))}; update trocar"
        )
    head = values.pop("semantic", None)
    semantic = SemanticConfig(**_with_tuples(head)) if head else None
    return NetworkConfig(**_with_tuples(values), semantic=semantic)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in as many ways as it has bytes
        raise _unreadable(path, error) from error
    if isinstance(content, dict):
        content = content.get("model", content)
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path} does not hold a table of tensors: give the file that was published")
    return content


def _unreadable(path: Path, error: Exception) -> Exception:
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"no weights file at {path}")
    reason = str(error).partition("\n")[0] or type(error).__name__
    return WeightsError(f"{path} is not a readable weights file ({reason}): fetch it again")


def _layout(tensors: Mapping[str, Tensor], family: str, source: str) -> str:
    """Whose names these are, of those that a network of this family may have."""
    for layout, mark in MARKS[family].items():
        if mark in tensors:
            return layout
    others = [_TITLES[other] for other, marks in MARKS.items() if not set(marks.values()).isdisjoint(tensors)]
    found = f"it is one of {others[0]}" if others else f"{len(tensors)} tensors under other names"
    raise WeightsError(f"{source} holds no {_TITLES[family]} network ({found})")


def _cut_point_table(tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """transformers' layout with one tensor a point code, and one copy of the frequencies it stores twice."""
    tensors = dict(tensors)
    shared, copy = f"{_SHARED}.positional_embedding", tensors.pop(_SHARED_COPY, None)
    if copy is not None and not torch.equal(copy, tensors.setdefault(shared, copy)):
        raise WeightsError(f"{source} holds two different position codes, {_SHARED_COPY} and {shared}")
    for i, row in enumerate(tensors.pop(_POINT_TABLE, [])):
        tensors[f"prompt_encoder.point_embed.{i}"] = row
    return tensors


def _fit(tensor: Tensor, like: Tensor, name: str, source: str) -> Tensor:
    """The tensor in the shape of ours: published ones have more axes of length one."""
    if [n for n in tensor.shape if n != 1] != [n for n in like.shape if n != 1]:
        raise WeightsError(
            f"{source}: {name} has shape {tuple(tensor.shape)} where the network has {tuple(like.shape)}; "
            "choose the network that the file was made for"
        )
    return tensor.reshape(like.shape)


def _some(what: str, names: list[str]) -> str:
    """'<what> a, b, c and 4 more', or nothing."""
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"
