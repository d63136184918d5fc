"""Whether a class is there at all: a calibrated probability for each thing that its prompt finds.

SurgicalSAM's release is told which classes a frame shows, so its IoU equals its Challenge IoU. Here the mask that a
class gets is split into its instances, and each is weighed by a logistic regression on six numbers, `EVIDENCE`, fitted
on tune data that neither trained the model nor is reported. Each class has its own weights, drawn towards those that
all classes share: a class with few tune frames, or none, is decided like the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from trocar.classprompt.class_model import ClassMasks, ClassModel
from trocar.classprompt.contrast import class_embeddings
from trocar.classprompt.instances import OUTSIDE, Pieces, split_instances
from trocar.classprompt.likeness import appearance
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures

EVIDENCE = ("similarity", "likeness", "quality", "object score", "area", "sharpness")
SCORE_LIMIT = 8.0  # likeness, object scores and the logit of quality saturate here: outliers must not decide
OWN, SHARED = 10.0, 0.01  # how strongly a class's weights are drawn to the shared ones, and those to 0

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Instances:
    """R instances of classes on frames.

    Args:
        frame: (R,) long, the frame that each is on.
        classes: (R,) long, the number of its class.
        logits: (R, s, s) of it alone.
        quality: (R,) predicted IoU of its class's mask.
        object_score: (R,) logit of its class's mask.
    """

    frame: Tensor
    classes: Tensor
    logits: Tensor
    quality: Tensor
    object_score: Tensor

    def __len__(self) -> int:
        return len(self.frame)


def instances(found: ClassMasks, classes: Sequence[int], rules: Pieces | None = None) -> Instances:
    """What was found, split into instances; class by class on each frame, the largest first.

    Args:
        found: (F, C) masks.
        classes: their C numbers.
        rules: how masks are split.
    """
    device = found.logits.device
    rows = [
        (frame, place, piece)
        for frame, masks in enumerate(found.logits)
        for place, logits in enumerate(masks)
        for piece in split_instances(logits, rules)
    ]
    frame = torch.tensor([one for one, _, _ in rows], dtype=torch.long, device=device)
    place = torch.tensor([one for _, one, _ in rows], dtype=torch.long, device=device)
    logits = torch.stack([one for _, _, one in rows]) if rows else found.logits.new_zeros(0, *found.logits.shape[-2:])
    numbers = torch.tensor(list(classes), dtype=torch.long, device=device)
    return Instances(frame, numbers[place], logits, found.quality[frame, place], found.object_score[frame, place])


def evidence(model: ClassModel, features: ImageFeatures, seen: Instances) -> Tensor:
    """What speaks for each instance being one of its class, (R, 6) in the order of `EVIDENCE`.

    The cosine of the prototype and the mean feature inside the mask, which is what contrastive learning has pulled
    together; the logarithm of the probability that what is inside looks like the class (`likeness.py`); the logit of
    the predicted IoU; the object score; the logarithm of the mask's part of the picture; and how sure the mask is of
    its own pixels, their mean probability.
    """
    low = 1 / (1 + np.exp(SCORE_LIMIT))
    chances = seen.logits.float().sigmoid()
    inside = (seen.logits > 0).float()
    pixels, cells = inside.sum((-2, -1)), inside.shape[-2] * inside.shape[-1]
    own = class_embeddings(features.stride16.float()[seen.frame], chances)
    like = model.likeness(appearance(features, chances * inside, seen.frame), seen.classes, model.config.trained)
    parts = (
        F.cosine_similarity(own, model.head.prototypes[seen.classes].float(), dim=1),
        like.clamp(min=-SCORE_LIMIT),
        seen.quality.float().logit(eps=float(low)),
        seen.object_score.float().clamp(-SCORE_LIMIT, SCORE_LIMIT),
        ((pixels + 1) / (cells + 1)).log(),
        (chances * inside).sum((-2, -1)) / pixels.clamp(min=1),
    )
    return torch.stack(parts, dim=-1)


def presence(model: ClassModel, features: ImageFeatures, seen: Instances) -> Tensor:
    """The probability of each instance being one of its class, (R,) in 0..1.

    Args:
        model: calibrated.
        features: of the frames.
        seen: what was found on them.

    Raises:
        ValueError: the model was never calibrated.
    """
    rows = model.config.presence
    if not rows:
        raise ValueError(
            "this class model cannot say which classes are there, since it was never calibrated: run "
            "`trocar classes calibrate` on data that neither trained it nor is reported"
        )
    weights = torch.tensor(rows, device=seen.logits.device)[seen.classes]
    return ((evidence(model, features, seen) * weights[:, 1:]).sum(-1) + weights[:, 0]).sigmoid()


def believed(model: ClassModel, features: ImageFeatures, found: ClassMasks, classes: Sequence[int]) -> ClassMasks:
    """What was found, with only those instances that are rather of their class than not; the others' pixels are ground.

    Args:
        model: calibrated.
        features: of the F frames.
        found: its answers on them.
        classes: C numbers, those that were asked for.

    Raises:
        ValueError: see `presence`.
    """
    seen = instances(found, classes)
    keep = presence(model, features, seen) >= 0.5
    place = {number: at for at, number in enumerate(classes)}
    logits = found.logits.clamp(max=OUTSIDE)
    for row in keep.nonzero()[:, 0].tolist():
        frame, at = int(seen.frame[row]), place[int(seen.classes[row])]
        logits[frame, at] = torch.maximum(logits[frame, at], seen.logits[row])
    return replace(found, logits=logits)


@torch.no_grad()
def calibrate(
    model: ClassModel, network: Network, frames: Iterable[tuple[ImageFeatures, Mapping[int, bool]]]
) -> ClassModel:
    """Fit when the model's classes count as there, and write that into its config.

    Each class counts once a frame, by the instance that looks most like it: where the class is there that one is it,
    and where it is not, that one would be believed first. Where nothing was found there is nothing to weigh.

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
        seen = instances(model.masks(network, features, list(shown)), list(shown))
        known = evidence(model, features, seen)
        for number in sorted(set(seen.classes.tolist())):
            own = known[seen.classes == number]
            numbers.append(own[own[:, EVIDENCE.index("likeness")].argmax()])
            there.append(shown[number])
            classes.append(number)
    if not classes:
        raise ValueError("there is nothing to calibrate presence on: give at least one frame with its classes")
    rows = fit_presence(
        torch.stack(numbers).double().cpu().numpy(), np.array(there), np.array(classes), len(model.config.names)
    )
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
