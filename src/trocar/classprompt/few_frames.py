"""A class more from a few labelled frames, without training the rest again.

The prototype of the class is the mean feature inside its masks (equation 10 of SurgicalSAM, averaged over the frames),
brought to the mean length of the prototypes that were trained, on which the size of similarities depends; what it looks
like (`likeness.py`) is learned from the same masks. The prototype may then
be fitted to the same frames: the prototype alone moves, by the Dice loss, and no other weight. The trained classes do
not see the added one, so they answer as before, to the bit.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.classprompt.class_model import ClassModel
from trocar.classprompt.contrast import class_embeddings
from trocar.classprompt.likeness import appearance
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures

LEARNING_RATE = 0.05  # of the prototype's length a step
SMOOTH = 1e-3  # beside both sums of the Dice loss, as in training


def add_class(
    model: ClassModel, network: Network, name: str, features: ImageFeatures, masks: Tensor, steps: int = 0
) -> ClassModel:
    """A class model that knows one class more; `model` stays as it is.

    Args:
        model: what is known already.
        network: the frozen one that encoded the frames.
        name: of the new class.
        features: of F frames on which it shows, five are usual.
        masks: (F, S, S) bool, where it is, in the network's input.
        steps: by which its prototype is fitted to the frames; 0 for the mean alone.

    Raises:
        ValueError: the name is taken, or a mask is empty or of another size.
    """
    side = features.stride16.shape[-1] * 16
    if tuple(masks.shape) != (len(features.stride16), side, side):
        raise ValueError(
            f"{tuple(masks.shape)} masks do not fit {len(features.stride16)} frames of {side} x {side}: give one each"
        )
    empty = [number for number, mask in enumerate(masks) if not bool(mask.any())]
    if empty:
        raise ValueError(f"{name!r} shows on every frame that it is learned from, but not on number {empty[0]}")
    config = model.config
    names = (*config.names, name)  # the config refuses a name that is taken
    rows = config.presence and (*config.presence, _mean_row(config.presence[: config.trained]))
    extended = ClassModel(replace(config, names=names, presence=rows, added=config.added + 1), network)
    state = model.state_dict()
    own = class_embeddings(features.stride16.to(state["head.prototypes"].dtype), masks)
    length = state["head.prototypes"][: config.trained].norm(dim=1).mean()
    prototype = length * F.normalize(F.normalize(own, dim=1).mean(0), dim=0)
    state["head.prototypes"] = torch.cat((state["head.prototypes"], prototype[None]))
    extended.likeness = copy.deepcopy(model.likeness)
    inside = F.adaptive_avg_pool2d(masks[:, None].float(), features.stride4.shape[-1])[:, 0]
    extended.likeness.add(appearance(features, inside, torch.arange(len(masks), device=masks.device)))
    extended.load_state_dict(state | {f"likeness.{name}": one for name, one in extended.likeness.state_dict().items()})
    extended = extended.to(prototype.device).eval()
    if steps:
        _fit(extended, network, features, masks, steps)
    return extended


def _mean_row(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """How presence is weighed for a class of which nothing else is known: as for the trained ones on average."""
    return tuple(sum(values) / len(rows) for values in zip(*rows, strict=True))


def _fit(model: ClassModel, network: Network, features: ImageFeatures, masks: Tensor, steps: int) -> None:
    """Move the last prototype, at its length, to where the masks of the frames come out best."""
    prototypes = model.head.prototypes
    before = prototypes.detach().clone()
    learning = {name: one.requires_grad for name, one in model.named_parameters()}
    model.requires_grad_(False)
    prototypes.requires_grad_(True)
    classes = torch.full((len(masks),), len(before) - 1, device=before.device)
    truths = F.adaptive_avg_pool2d(masks[:, None].to(before.dtype), features.stride16.shape[-1] * 4)[:, 0]
    optimiser = torch.optim.Adam([prototypes], LEARNING_RATE * float(before[-1].norm()) / len(before[-1]) ** 0.5)
    length = before[-1].norm()
    for _ in range(steps):
        chances = model.answer(network, features, classes).logits.sigmoid()
        shared, total = (chances * truths).sum((1, 2)), (chances**2).sum((1, 2)) + (truths**2).sum((1, 2))
        loss = (1 - (2 * shared + SMOOTH) / (total + SMOOTH)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            prototypes[:-1] = before[:-1]
            prototypes[-1] = length * F.normalize(prototypes[-1], dim=0)
    for name, one in model.named_parameters():
        one.requires_grad_(learning[name])
