"""The losses of class prompts (SurgicalSAM, section 3.4), and what may be added to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from trocar.classprompt.class_model import ClassAnswers
from trocar.train.class_prompt_recipe import ClassLosses
from trocar.train.losses import Truth, actual_iou, as_truth

EPSILON = 1e-3


@dataclass(frozen=True, eq=False)
class Asked:
    """What R rows should have said.

    Args:
        masks: (R, S, S) bool; empty where the class is absent.
        valid: (R, S, S) bool, False where there is no truth.
    """

    masks: Tensor
    valid: Tensor


def squared_dice(logits: Tensor, truth: Truth) -> Tensor:
    """(R,): 1 - Dice of the probabilities over the valid pixels, squares in the denominator (Milletari et al. 2016).

    Equation 13 gives Dice itself, of logits; the release minimises this.

    Args:
        logits: (R, h, w).
        truth: of R rows.
    """
    chance, target = logits.sigmoid() * truth.valid, truth.mask * truth.valid
    shared = (chance * target).sum((1, 2))
    return 1 - 2 * shared / ((chance.square().sum((1, 2)) + EPSILON) + (target.square().sum((1, 2)) + EPSILON))


def answer_losses(answers: ClassAnswers, asked: Asked, weights: ClassLosses) -> dict[str, Tensor]:
    """The weighted losses of R answers, each a scalar, and "reached", the mean IoU of the classes that show.

    Dice and quality are learned where the class shows; presence and pixels everywhere.
    """
    side = asked.masks.shape[-1] // weights.stride_px
    logits = answers.logits.float()
    if logits.shape[-1] != side:
        logits = F.interpolate(logits[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0]
    truth = as_truth(asked.masks, asked.valid, side)
    shown = truth.present
    count = shown.sum().clamp(min=1)
    iou = actual_iou(logits[:, None], truth)[:, 0]
    losses = {"dice": weights.dice * (squared_dice(logits, truth) * shown).sum() / count}
    if weights.pixel:
        each = F.binary_cross_entropy_with_logits(logits, truth.mask, reduction="none") * truth.valid
        losses["pixel"] = weights.pixel * (each.sum((1, 2)) / truth.valid.sum((1, 2)).clamp(min=1)).mean()
    if weights.quality:
        losses["quality"] = weights.quality * ((answers.quality.float() - iou).abs() * shown).sum() / count
    if weights.presence:
        score = answers.object_score.float()
        losses["presence"] = weights.presence * F.binary_cross_entropy_with_logits(score, shown)
    return {**losses, "reached": (iou * shown).sum().detach() / count}
