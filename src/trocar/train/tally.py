"""Losses of a step, gathered answer by answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.track.propagate import Outcome
from trocar.train.ambiguity import Ambiguity
from trocar.train.losses import Guess, as_truth, at_least_float32, row_losses
from trocar.train.recipe import LossWeights
from trocar.train.semantic import semantic_loss


class Tally:
    """Weighted losses of the answers so far.

    Args:
        weights: of the losses, and how they are taken.
        ambiguity: whether and how labels are softened.
        objects: how many there are in the step; sums over answers are divided by it.
    """

    def __init__(self, weights: LossWeights, ambiguity: Ambiguity, objects: int) -> None:
        self.weights = weights
        self.ambiguity = ambiguity
        self.objects = objects
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, outcomes: Sequence[Outcome], masks: Tensor, valid: Tensor) -> None:
        """Add the losses of R outcomes that were decoded.

        Args:
            outcomes: R.
            masks: (R, S, S) bool, the truth.
            valid: (R, S, S) bool, the pixels that have one.
        """
        by_count: dict[int, list[int]] = {}
        for index, outcome in enumerate(outcomes):
            assert outcome.decoded is not None
            by_count.setdefault(outcome.decoded.masks.shape[1], []).append(index)
        side = masks.shape[-1] // self.weights.stride_px
        for members in by_count.values():
            decoded = [one for index in members if (one := outcomes[index].decoded) is not None]
            logits = at_least_float32(torch.cat([one.masks for one in decoded]))
            guess = Guess(
                F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False),
                torch.cat([one.iou for one in decoded]),
                torch.cat([one.object_score for one in decoded]),
            )
            truth = as_truth(masks[members], valid[members], side, self.ambiguity)
            for name, value in row_losses(guess, truth, self.weights, self.ambiguity).items():
                self._note(name, value[truth.present > 0] if name == "reached" else value)

    def add_classes(self, outcomes: Sequence[Outcome], targets: Sequence[int]) -> None:
        """Add what the semantic head says of R objects whose classes are given, -1 for those that have none."""
        said = [
            (logits, target)
            for outcome, target in zip(outcomes, targets, strict=True)
            if target >= 0 and (logits := outcome.entry.class_logits) is not None
        ]
        if said:
            logits = torch.stack([one for one, _ in said])
            target = torch.tensor([one for _, one in said], device=logits.device)
            self._note("semantic", self.weights.semantic * semantic_loss(logits, target))

    def losses(self, always: Sequence[str] = ()) -> dict[str, Tensor]:
        """Each loss, and "reached", the mean IoU of the best candidates where an object is; only of what was answered.

        Args:
            always: losses that are named, as 0, even where nothing was said about them.
        """
        found = {}
        for name, value in self._sums.items():
            summed = self.weights.reduction == "sum" and name != "reached"
            found[name] = value / max(self.objects if summed else self._counts[name], 1)
        like = next(iter(found.values()), torch.zeros(()))
        return {name: like.new_zeros(()) for name in always} | found

    def _note(self, name: str, value: Tensor) -> None:
        if not len(value):
            return
        self._sums[name] = self._sums[name] + value.sum() if name in self._sums else value.sum()
        self._counts[name] = self._counts.get(name, 0) + len(value)
