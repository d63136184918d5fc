"""What a class model sees on a frame: the prompter that finds objects by the name of their class.

It splits the mask of each class into instances, and says of each how probable it is. What follows from that is not
decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trocar.classprompt.class_model import ClassModel
from trocar.classprompt.instances import Pieces
from trocar.classprompt.presence import instances, presence
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures


@dataclass(frozen=True, eq=False)
class ClassSighting:
    """One instance of a class on one frame.

    Args:
        name: of the class.
        presence: probability that it is one of the class, 0..1.
        quality: predicted IoU of the class's mask, 0..1.
        logits: (s, s).
    """

    name: str
    presence: float
    quality: float
    logits: Tensor


class ClassFinder:
    """Looks for some classes of a class model.

    Args:
        model: calibrated, see `trocar.classprompt.presence`.
        network: whose features it reads.
        classes: their names; all of the model's where there are none.
        pieces: how a mask is split into instances.

    Raises:
        ValueError: there is no such class (the nearest are named), or the model is not calibrated.
    """

    def __init__(
        self, model: ClassModel, network: Network, classes: Sequence[str] = (), pieces: Pieces | None = None
    ) -> None:
        self._model, self._network, self._pieces = model, network, pieces
        self._numbers = list(dict.fromkeys(model.config.numbers(classes or model.config.names)))
        self.classes = tuple(model.config.names[number] for number in self._numbers)
        if not model.config.presence:
            raise ValueError(
                "this class model was never calibrated and would find every class on every frame: run "
                "`trocar classes calibrate` on data that neither trained it nor is reported"
            )

    def look(self, frame: int, features: ImageFeatures) -> list[ClassSighting]:
        """What is seen on a frame; `frame` itself, its number, is not looked at."""
        with torch.no_grad():
            seen = instances(self._model.masks(self._network, features, self._numbers), self._numbers, self._pieces)
            chances = presence(self._model, features, seen).tolist()
        names, quality = self._model.config.names, seen.quality.clamp(0, 1).tolist()
        return [
            ClassSighting(names[number], chances[at], quality[at], seen.logits[at])
            for at, number in enumerate(seen.classes.tolist())
        ]
