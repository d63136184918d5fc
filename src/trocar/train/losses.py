"""The losses of SAM 2 (Ravi et al. 2024, appendix D.2): pixels, Dice, predicted IoU, and presence of the object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.train.recipe import LossWeights


@dataclass(frozen=True, eq=False)
class Truth:
    """What R rows should have said.

    Args:
        mask: (R, h, w) share of each cell that the object covers, 0..1.
        valid: (R, h, w) 1 where there is a truth, 0 where pixels are to be left out.
    """

    mask: Tensor
    valid: Tensor

    @property
    def present(self) -> Tensor:
        """(R,) 1 where the object shows at all."""
        return (self.mask.flatten(1).amax(1) > 0).float()


@dataclass(frozen=True, eq=False)
class Guess:
    """What R rows said, with M candidates each: (R, M, h, w) logits, (R, M) IoU in 0..1, (R,) presence logits."""

    masks: Tensor
    iou: Tensor
    presence: Tensor


def pixel_loss(logits: Tensor, truth: Truth, gamma: float) -> Tensor:
    """(R, M): focal loss (Lin et al. 2017, without its class weight) averaged over the valid pixels."""
    target = truth.mask[:, None].expand_as(logits)
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if gamma:
        chance = logits.sigmoid()
        loss = loss * (chance - target).abs() ** gamma
    valid = truth.valid[:, None]
    return (loss * valid).sum((2, 3)) / valid.sum((2, 3)).clamp(min=1)


def dice_loss(logits: Tensor, truth: Truth) -> Tensor:
    """(R, M): 1 - (2 |A B| + 1) / (|A| + |B| + 1) over the valid pixels."""
    chance = logits.sigmoid() * truth.valid[:, None]
    target = (truth.mask * truth.valid)[:, None]
    both = (chance * target).sum((2, 3))
    return 1 - (2 * both + 1) / (chance.sum((2, 3)) + target.sum((2, 3)) + 1)


def actual_iou(logits: Tensor, truth: Truth) -> Tensor:
    """(R, M): IoU of the masks (logits above 0) with the truth (cells covered by half or more), no gradient."""
    valid = truth.valid[:, None] > 0
    mask, target = (logits.detach() > 0) & valid, (truth.mask[:, None] >= 0.5) & valid
    return (mask & target).sum((2, 3)) / (mask | target).sum((2, 3)).clamp(min=1)


def row_losses(guess: Guess, truth: Truth, weights: LossWeights) -> dict[str, Tensor]:
    """The four losses of R rows, each (R,) and weighted, and "reached", the IoU of the best candidate.

    Of several candidates only the best (by pixel and Dice loss) learns its mask; all of them learn their IoU. Where
    the object is absent, only presence is learned.
    """
    logits = guess.masks.float()
    pixel = weights.pixel * pixel_loss(logits, truth, weights.focal_gamma)
    dice = weights.dice * dice_loss(logits, truth)
    iou = actual_iou(logits, truth)
    best = (pixel + dice).detach().argmin(dim=1, keepdim=True)
    present = truth.present
    presence = F.binary_cross_entropy_with_logits(guess.presence.float(), present, reduction="none")
    return {
        "pixel": pixel.gather(1, best)[:, 0] * present,
        "dice": dice.gather(1, best)[:, 0] * present,
        "iou": weights.iou * (guess.iou.float() - iou).abs().mean(1) * present,
        "presence": weights.presence * presence,
        "reached": iou.gather(1, best)[:, 0],
    }


def as_truth(masks: Tensor, valid: Tensor, side: int) -> Truth:
    """(R, S, S) bool masks and valid pixels -> a truth of side x side cells: the mean over each cell's valid pixels."""
    factor = masks.shape[-1] // side
    weight = F.avg_pool2d(valid[:, None].float(), factor)[:, 0]
    covered = F.avg_pool2d((masks & valid)[:, None].float(), factor)[:, 0]
    return Truth(covered / weight.clamp(min=torch.finfo(torch.float32).eps), (weight > 0).float())
