"""Prototypes that do not learn: means of the training samples, text features of the names, and a stand-in for those.

SurgicalSAM compares contrastive prototypes with them: the means in Table 3, CLIP's text embeddings of the names in
section 8.5. The paper leaves open how a text embedding of 512 numbers becomes a prototype of D: here the K texts are
placed in the D channels so that all angles between them are kept, along fixed directions, since nothing ties the
channels of an image encoder to those of a text encoder that was not trained with it. They are made as long as learned
prototypes are when they start, the square root of D; the means stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trocar.model.text_features import TextTable, stand_in


def mean_prototypes(embeddings: Tensor, classes: Tensor, names: Sequence[str]) -> Tensor:
    """The mean class embedding of the training samples of each class (Table 3, "without L_PCL").

    Args:
        embeddings: (N, D) from `class_embeddings`, a sample each; rows of zeros are of empty masks and do not count.
        classes: (N,) long, from 0.
        names: of the K classes.

    Returns:
        (K, D) float32.

    Raises:
        ValueError: a class has no sample; the message names it.
    """
    shown = embeddings.abs().sum(1) > 0
    counts = torch.bincount(classes[shown], minlength=len(names))
    if missing := [name for name, count in zip(names, counts.tolist(), strict=True) if count == 0]:
        raise ValueError(
            f"no training sample shows {', '.join(missing)}: a class needs at least one; leave it out or add frames"
        )
    sums = embeddings.new_zeros(len(names), embeddings.shape[1], dtype=torch.float64)
    sums.index_add_(0, classes[shown], embeddings[shown].double())
    return (sums / counts[:, None]).float()


def text_prototypes(table: TextTable, dim: int) -> Tensor:
    """Text features as prototypes (section 8.5): (K, dim) float32, of length sqrt(dim), with the texts' own angles.

    Raises:
        ValueError: there are more classes than channels, so that angles could not be kept.
    """
    count = len(table.names)
    if count > dim:
        raise ValueError(f"{count} texts do not fit into {dim} channels with their angles: name at most {dim} classes")
    # X = L Q with orthonormal rows Q: row k of L says the same as text k, in K coordinates.
    upper = torch.linalg.qr(table.vectors.double().T).R
    lower = (upper * upper.diagonal().sign()[:, None]).T
    placed: Tensor = lower @ stand_in(table.names, dim).vectors.double()
    return placed.float() * math.sqrt(dim)
