"""What each class looks like inside its masks, from the pictures that a class model was trained on."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.classprompt.class_model import ClassModel
from trocar.classprompt.likeness import Likeness, Seen, appearance
from trocar.classprompt.presence import instances
from trocar.model.tensors import ImageFeatures
from trocar.train.class_prompt_data import ClassPictures
from trocar.train.class_prompt_pictures import NO_TRUTH

MOST_PICTURES = 4000  # more would not fit better, and what was seen is kept in memory
LEAST_SHARE = 0.3  # of a mask that a class has to take, if the mask is to count as one of it


@torch.no_grad()
def fit_likeness(model: ClassModel, pictures: ClassPictures, general: frozenset[int], seed: int = 0) -> ClassModel:
    """Fit `model.likeness` to true masks, and to what the model finds for every class, right or wrong.

    A found instance is one of the class that takes most of it, or of the ground where no class takes `LEAST_SHARE`.
    Classes that a picture does not say anything of are not asked for there.

    Args:
        model: trained; changed in place, and given back.
        pictures: that it was trained on.
        general: classes that pictures of some sources may show without saying so.
        seed: which pictures are taken where there are more than `MOST_PICTURES`.
    """
    count = len(pictures.pictures)
    chosen = np.sort(np.random.default_rng((seed, count)).permutation(count)[:MOST_PICTURES])
    numbers, classes = [], []
    for place in chosen.tolist():
        features, labels = pictures.features([place]), pictures.labels([place])[0]
        shown = sorted(pictures.pictures[place].classes)
        asked = sorted({*shown, *pictures.absent(place, general)})
        for found, of in (_true(features, labels, shown), _found(model, pictures, features, labels, asked)):
            numbers.append(found)
            classes.append(of)
    seen = Seen(torch.cat(numbers), torch.cat(classes))
    model.likeness = Likeness(len(model.config.names), seen.numbers.shape[1]).to(seen.numbers.device)
    model.likeness.fit(seen)
    return model


def _true(features: ImageFeatures, labels: Tensor, shown: list[int]) -> tuple[Tensor, Tensor]:
    """The appearance of the true masks of a picture, and their classes."""
    of = torch.tensor(shown, dtype=torch.long, device=labels.device)
    inside = F.adaptive_avg_pool2d((labels == of[:, None, None] + 1)[:, None].float(), features.stride4.shape[-1])
    return appearance(features, inside[:, 0], torch.zeros_like(of)), of


def _found(
    model: ClassModel, pictures: ClassPictures, features: ImageFeatures, labels: Tensor, asked: list[int]
) -> tuple[Tensor, Tensor]:
    """The appearance of the instances that are found on a picture, and what they are."""
    seen = instances(model.masks(pictures.network, features, asked), asked)
    chances = seen.logits.float().sigmoid() * (seen.logits > 0)
    known = labels != NO_TRUTH
    side = chances.shape[-1]
    truth = F.one_hot(torch.where(known, labels, 0).long(), len(model.config.names) + 1) * known[..., None]
    shares = F.adaptive_avg_pool2d(truth.permute(2, 0, 1)[None].float(), side)[0]  # (K + 1, s, s)
    within = torch.einsum("rhw,khw->rk", (seen.logits > 0).float(), shares)
    rows = within.sum(1) > 0  # not only where there is no truth
    most, of = within[:, 1:].max(1)
    of = torch.where(most >= LEAST_SHARE * within.sum(1), of, -1)
    return appearance(features, chances, seen.frame)[rows], of[rows]
