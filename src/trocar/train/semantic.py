"""Temporal semantic learning (SAM2S: Liu et al. 2025, section 4.3): what a tracked object is, learned against text.

The semantic head (`model/semantic_head.py`) gives each tracked object a feature, which is compared with the text
features of K instrument classes. Text features come from CLIP's text encoder, once; they are kept with the weights.
Tissue and unknown things have no class and teach nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trocar.datasets.class_names import read_class_names
from trocar.model.config import SemanticConfig
from trocar.model.text_features import CACHE, CLIP, TEMPLATE, TextTable, text_features


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
    encoder: str = CLIP
    template: str = TEMPLATE
    scale: float = 100.0
    frame: Literal["conditioned", "raw"] = "conditioned"
    cache: str = CACHE

    def __post_init__(self) -> None:
        if "{}" not in self.template:
            raise ValueError(f"semantic.template {self.template!r} has no place for the name: write {{}} there")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K classes."""
        return self.names or read_class_names().instruments


def text_table(settings: Semantic) -> TextTable:
    """The text features of the classes, see `text_features`.

    Raises:
        ValueError: a name stands there twice, or the file in the cache is damaged.
    """
    names = settings.classes
    if len(set(names)) < len(names):
        raise ValueError(f"semantic.names has {max(names, key=names.count)!r} twice: name each class once")
    return text_features(names, settings.encoder, settings.template, settings.cache)


def head_config(table: TextTable, settings: Semantic) -> SemanticConfig:
    """The semantic head for a table's classes."""
    return SemanticConfig(table.names, table.vectors.shape[1], table.source, settings.scale, frame=settings.frame)


def class_targets(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Each object's class by its number among `classes`; -1 for tissue, for unknown things and for other classes."""
    standard = read_class_names()
    known = {name: number for number, name in enumerate(classes)}
    found = [standard(name) if name else None for name in names]
    return [-1 if one is None else known.get(one.standard, known.get(one.given, -1)) for one in found]


def semantic_loss(logits: Tensor, target: Tensor) -> Tensor:
    """(R, K) logits and (R,) classes -> (R,) cross-entropy of the softmax over all classes (equation 3)."""
    return F.cross_entropy(logits.float(), target, reduction="none")
