"""Whether a class is there at all: a calibrated probability from what its mask looks like.

SurgicalSAM's release is told which classes a frame shows, so its IoU equals its Challenge IoU. Here the answer to each
class is weighed by a logistic regression on five numbers, `EVIDENCE`, fitted on tune data that neither trained the
model nor is reported. Each class has its own weights, drawn towards those that all classes share: a class with few tune
frames, or none, is decided like the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from trocar.classprompt.class_model import ClassMasks, ClassModel
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures

EVIDENCE = ("similarity", "quality", "object score", "area", "sharpness")
SCORE_LIMIT = 8.0  # object scores and the logit of quality saturate here: outliers must not decide
OWN, SHARED = 10.0, 0.01  # how strongly a class's weights are drawn to the shared ones, and those to 0

Numbers = NDArray[np.float64]


def evidence(found: ClassMasks) -> Tensor:
    """What speaks for each class being there, (F, C, 5) in the order of `EVIDENCE`.

    The cosine with the prototype; the logit of the predicted IoU; the object score; the logarithm of the mask's part of
    the picture; and how sure the mask is of its own pixels, their mean probability.
    """
    limit = 1 / (1 + np.exp(SCORE_LIMIT))
    chances = found.logits.float().sigmoid()
    inside = (found.logits > 0).float()
    pixels = inside.sum((-2, -1))
    cells = inside.shape[-2] * inside.shape[-1]
    parts = (
        found.similarity.float(),
        found.quality.float().logit(eps=float(limit)),
        found.object_score.float().clamp(-SCORE_LIMIT, SCORE_LIMIT),
        ((pixels + 1) / (cells + 1)).log(),
        (chances * inside).sum((-2, -1)) / pixels.clamp(min=1),
    )
    return torch.stack(parts, dim=-1)


def presence(model: ClassModel, found: ClassMasks, classes: Sequence[int]) -> Tensor:
    """The probability of each class being there, (F, C) in 0..1; 0 where its mask is empty.

    Args:
        model: calibrated.
        found: its answers.
        classes: C numbers, those that were asked for.

    Raises:
        ValueError: the model was never calibrated.
    """
    rows = model.config.presence
    if not rows:
        raise ValueError(
            "this class model cannot say which classes are there, since it was never calibrated: run "
            "`trocar classes calibrate` on data that neither trained it nor is reported"
        )
    weights = torch.tensor([rows[number] for number in classes], device=found.logits.device)
    logits = (evidence(found) * weights[:, 1:]).sum(-1) + weights[:, 0]
    return torch.where((found.logits > 0).any(-1).any(-1), logits.sigmoid(), 0.0)


def present(model: ClassModel, found: ClassMasks, classes: Sequence[int]) -> Tensor:
    """Which of the classes count as there, (F, C) bool: those that are rather there than not.

    Raises:
        ValueError: see `presence`.
    """
    return presence(model, found, classes) >= 0.5


@torch.no_grad()
def calibrate(
    model: ClassModel, network: Network, frames: Iterable[tuple[ImageFeatures, Mapping[int, bool]]]
) -> ClassModel:
    """Fit when the model's classes count as there, and write that into its config.

    Args:
        model: changed in place, and given back.
        network: whose features it reads.
        frames: of tune data: the features of a frame, and whether each class is there, by its number; a class of which
            that is not known is left out.

    Raises:
        ValueError: there are no frames, or no class is there on some of them and missing on others.
    """
    numbers, there, classes = [], [], []
    for features, shown in frames:
        asked = list(shown)
        numbers.append(evidence(model.masks(network, features, asked))[0])
        there += [shown[number] for number in asked]
        classes += asked
    if not classes:
        raise ValueError("there is nothing to calibrate presence on: give at least one frame with its classes")
    found = torch.cat(numbers).double().cpu().numpy()
    rows = fit_presence(found, np.array(there), np.array(classes), len(model.config.names))
    model.config = replace(model.config, presence=rows)
    model.head.config = model.config
    return model


def fit_presence(
    numbers: Numbers, there: NDArray[np.bool_], classes: NDArray[np.integer], count: int
) -> tuple[tuple[float, ...], ...]:
    """A logistic regression for each class: its constant, then a weight for each number.

    Args:
        numbers: (N, E) evidence.
        there: (N,) whether the class is.
        classes: (N,) which class.
        count: how many classes there are.

    Raises:
        ValueError: a class is always there, or never: there is nothing to tell.
    """
    if there.all() or not there.any():
        which = "is always there" if there.all() else "is never there"
        raise ValueError(f"presence cannot be calibrated where every class {which}: add frames that differ in that")
    middle, spread = numbers.mean(0), numbers.std(0) + 1e-9
    design = np.hstack((np.ones((len(numbers), 1)), (numbers - middle) / spread))
    shared = _fitted(design, there, np.zeros(design.shape[1]), SHARED)
    rows = []
    for number in range(count):
        own = classes == number
        weights = _fitted(design[own], there[own], shared, OWN) if own.any() else shared
        slopes = weights[1:] / spread
        rows.append(tuple(float(one) for one in (weights[0] - slopes @ middle, *slopes)))
    return tuple(rows)


def _fitted(design: Numbers, there: NDArray[np.bool_], towards: Numbers, pull: float) -> Numbers:
    """The weights under which what is there is likeliest, less `pull` times half their squared distance `towards`."""
    sign = np.where(there, 1.0, -1.0)

    def surprise(weights: Numbers) -> tuple[float, Numbers]:
        margin = sign * (design @ weights)
        away = weights - towards
        slope = -(sign / (1 + np.exp(np.clip(margin, -50, 50)))) @ design
        return float(np.logaddexp(0, -margin).sum() + pull / 2 * away @ away), slope + pull * away

    found: Numbers = minimize(surprise, towards, jac=True, method="L-BFGS-B").x
    return found
