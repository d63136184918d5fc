"""Temporal semantic learning (SAM2S: Liu et al. 2025, section 4.3): what a tracked object is, learned against text.

The semantic head (`model/semantic_head.py`) gives each tracked object a feature, which is compared with the text
features of K instrument classes. Text features come from CLIP's text encoder, once; they are kept with the weights.
Tissue and unknown things have no class and teach nothing here.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trocar.datasets.class_names import read_class_names
from trocar.model.config import SemanticConfig

STAND_IN = "stand-in"
STAND_IN_WIDTH = 512  # as wide as the text features of CLIP ViT-B


@dataclass(frozen=True)
class Semantic:
    """Learning classes.

    Args:
        on: whether the network gets a semantic head and learns with it.
        names: of the K classes; none for all instruments in the table of class names.
        encoder: CLIP's text encoder, a repository of Hugging Face or a folder; it has to be on this machine. "stand-in"
            for a fixed orthonormal table, which says nothing of what the names mean.
        template: the sentence that a name is put into, at {}.
        scale: factor on the cosines. The paper writes a division by 100, the practice that it cites multiplies; divided
            by 100 the softmax would be nearly flat.
        frame: which feature of the current frame the head looks at, see `SemanticConfig`.
        cache: folder in which text features are kept.
    """

    on: bool = False
    names: tuple[str, ...] = ()
    encoder: str = "openai/clip-vit-base-patch32"
    template: str = "a photo of a {}"
    scale: float = 100.0
    frame: Literal["conditioned", "raw"] = "conditioned"
    cache: str = "~/.cache/trocar"

    def __post_init__(self) -> None:
        if "{}" not in self.template:
            raise ValueError(f"semantic.template {self.template!r} has no place for the name: write {{}} there")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes."""
        return self.names or read_class_names().instruments


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

    def config(self, settings: Semantic) -> SemanticConfig:
        """The semantic head for these classes."""
        width = self.vectors.shape[1]
        return SemanticConfig(self.names, width, self.source, settings.scale, frame=settings.frame)


def text_table(settings: Semantic) -> TextTable:
    """The text features of the classes: from the cache, from CLIP, or where it is not at hand the stand-in.

    Warns where the stand-in takes CLIP's place.

    Raises:
        ValueError: a name stands there twice, or the file in the cache is damaged.
    """
    names = settings.classes
    if len(set(names)) < len(names):
        raise ValueError(f"semantic.names has {max(names, key=names.count)!r} twice: name each class once")
    if settings.encoder == STAND_IN:
        return stand_in(names)
    source = f"{settings.encoder}: {settings.template}"
    file = _cache_file(settings, names)
    if file.is_file():
        return TextTable(names, _cached(file), source)
    try:
        vectors = _encoded(settings, [settings.template.format(name) for name in names])
    except (ImportError, OSError) as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(
            f"the classes get a {STAND_IN} table, which knows nothing of their names, since the text encoder "
            f"{settings.encoder} is not on this machine ({reason}): fetch it, or put its features in {file}",
            stacklevel=2,
        )
        return stand_in(names)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    save_file({"text": vectors}, part, metadata={"source": source, "names": "\n".join(names)})
    os.replace(part, file)
    return TextTable(names, vectors, source)


def stand_in(names: Sequence[str]) -> TextTable:
    """Fixed orthonormal vectors in place of text features; the k-th class always gets the same one.

    Raises:
        ValueError: there are more classes than the vectors have numbers.
    """
    if len(names) > STAND_IN_WIDTH:
        raise ValueError(f"the {STAND_IN} table has room for {STAND_IN_WIDTH} classes, not {len(names)}")
    drawn = np.random.default_rng(0).standard_normal((STAND_IN_WIDTH, STAND_IN_WIDTH))
    basis = np.linalg.qr(drawn)[0].T[: len(names)]
    return TextTable(tuple(names), torch.from_numpy(basis.astype(np.float32)))


def class_targets(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Each object's class by its number among `classes`; -1 for tissue, for unknown things and for other classes."""
    standard = read_class_names()
    known = {name: number for number, name in enumerate(classes)}
    found = [standard(name) if name else None for name in names]
    return [-1 if one is None else known.get(one.standard, known.get(one.given, -1)) for one in found]


def semantic_loss(logits: Tensor, target: Tensor) -> Tensor:
    """(R, K) logits and (R,) classes -> (R,) cross-entropy of the softmax over all classes (equation 3)."""
    return F.cross_entropy(logits.float(), target, reduction="none")


def _encoded(settings: Semantic, sentences: list[str]) -> Tensor:
    transformers = import_module("transformers")
    tokenizer = transformers.CLIPTokenizerFast.from_pretrained(settings.encoder, local_files_only=True)
    encoder = transformers.CLIPTextModelWithProjection.from_pretrained(settings.encoder, local_files_only=True).eval()
    with torch.inference_mode():
        features: Tensor = encoder(**tokenizer(sentences, padding=True, return_tensors="pt")).text_embeds
    return F.normalize(features.float(), dim=1).clone()


def _cache_file(settings: Semantic, names: Sequence[str]) -> Path:
    """One file for each encoder, template and list of names."""
    key = hashlib.sha256("\n".join((settings.encoder, settings.template, *names)).encode()).hexdigest()[:16]
    return Path(settings.cache).expanduser() / f"text-{key}.safetensors"


def _cached(file: Path) -> Tensor:
    try:
        with safe_open(file, framework="pt") as stored:
            vectors: Tensor = stored.get_tensor("text")
            return vectors
    except SafetensorError as error:
        raise ValueError(f"{file} holds no text features ({error}): delete it") from error
