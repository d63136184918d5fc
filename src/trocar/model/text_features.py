"""Text features of class names, from CLIP's text encoder or a stand-in; computed once and kept."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

CLIP = "openai/clip-vit-base-patch32"
TEMPLATE = "a photo of a {}"
CACHE = "~/.cache/trocar"
STAND_IN = "stand-in"
STAND_IN_WIDTH = 512  # as wide as the text features of CLIP ViT-B


@dataclass(frozen=True, eq=False)
class TextTable:
    """Text features of K classes.

    Args:
        names: K.
        vectors: (K, W) float32, each of length 1.
        source: "stand-in", or the encoder and the template.
    """

    names: tuple[str, ...]
    vectors: Tensor
    source: str = field(default=STAND_IN)


def text_features(
    names: Sequence[str], encoder: str = CLIP, template: str = TEMPLATE, cache: str | Path = CACHE
) -> TextTable:
    """The text features of names: from the cache, from CLIP, or where it is not at hand the stand-in.

    Warns where the stand-in takes CLIP's place.

    Args:
        names: each once.
        encoder: CLIP's text encoder, a repository of Hugging Face or a folder; it has to be on this machine. "stand-in"
            for a fixed orthonormal table, which says nothing of what the names mean.
        template: the sentence that a name is put into, at {}.
        cache: folder in which text features are kept.

    Raises:
        ValueError: the file in the cache is damaged.
    """
    if encoder == STAND_IN:
        return stand_in(names)
    source = f"{encoder}: {template}"
    file = cache_file(names, encoder, template, cache)
    if file.is_file():
        return TextTable(tuple(names), _cached(file), source)
    try:
        vectors = _encoded(encoder, [template.format(name) for name in names])
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(
            f"the classes get a {STAND_IN} table, which knows nothing of their names, since the text encoder "
            f"{encoder} is not on this machine ({reason}): fetch it, or put its features in {file}",
            stacklevel=2,
        )
        return stand_in(names)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    save_file({"text": vectors}, part, metadata={"source": source, "names": "\n".join(names)})
    os.replace(part, file)
    return TextTable(tuple(names), vectors, source)


def stand_in(names: Sequence[str], width: int = STAND_IN_WIDTH) -> TextTable:
    """Fixed orthonormal vectors in place of text features; the k-th class always gets the same one.

    Raises:
        ValueError: there are more classes than the vectors have numbers.
    """
    if len(names) > width:
        raise ValueError(f"the {STAND_IN} table has room for {width} classes, not {len(names)}")
    drawn = np.random.default_rng(0).standard_normal((width, width))
    basis = np.linalg.qr(drawn)[0].T[: len(names)]
    return TextTable(tuple(names), torch.from_numpy(basis.astype(np.float32)))


def cache_file(names: Sequence[str], encoder: str, template: str, cache: str | Path) -> Path:
    """One file for each encoder, template and list of names."""
    key = hashlib.sha256("\n".join((encoder, template, *names)).encode()).hexdigest()[:16]
    return Path(cache).expanduser() / f"text-{key}.safetensors"


def _encoded(encoder: str, sentences: list[str]) -> Tensor:
    transformers = import_module("transformers")
    tokenizer = transformers.CLIPTokenizerFast.from_pretrained(encoder, local_files_only=True)
    model = transformers.CLIPTextModelWithProjection.from_pretrained(encoder, local_files_only=True).eval()
    with torch.inference_mode():
        features: Tensor = model(**tokenizer(sentences, padding=True, return_tensors="pt")).text_embeds
    return F.normalize(features.float(), dim=1).clone()


def _cached(file: Path) -> Tensor:
    try:
        with safe_open(file, framework="pt") as stored:
            vectors: Tensor = stored.get_tensor("text")
            return vectors
    except SafetensorError as error:
        raise ValueError(f"{file} holds no text features ({error}): delete it") from error
