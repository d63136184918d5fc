"""The losses of SAM 2 (Ravi et al. 2024, appendix D.2): pixels, Dice, predicted IoU, and presence of the object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.train.ambiguity import Ambiguity, softened
from trocar.train.recipe import LossWeights


@dataclass(frozen=True, eq=False)
class Truth:
    """What R rows should have said.

    Args:
        mask: (R, h, w) share of each cell that the object covers, 0..1.
        valid: (R, h, w) 1 where there is a truth, 0 where pixels are to be left out.
        soft: (R, h, w) what the pixel loss is held against, if not `mask` (`train/ambiguity.py`).
    """

    mask: Tensor
    valid: Tensor
    soft: Tensor | None = None

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


def pixel_loss(logits: Tensor, truth: Truth, weights: LossWeights, focal: str = "distance") -> Tensor:
    """(R, M): focal loss (Lin et al. 2017) averaged over the valid pixels.

    Args:
        logits: (R, M, h, w).
        truth: of which the soft label is taken where there is one.
        weights: of which `focal_gamma` and `focal_alpha` are used.
        focal: how a pixel of a soft label is weighed, see `Ambiguity.focal`.
    """
    target = (truth.mask if truth.soft is None else truth.soft)[:, None].expand_as(logits).to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if weights.focal_gamma:
        chance = logits.sigmoid()
        usual = 1 - (chance * target + (1 - chance) * (1 - target))
        loss = loss * (usual if focal == "usual" else (chance - target).abs()) ** weights.focal_gamma
    if weights.focal_alpha is not None:
        loss = loss * (weights.focal_alpha * target + (1 - weights.focal_alpha) * (1 - target))
    valid = truth.valid[:, None]
    return (loss * valid).sum((2, 3)) / valid.sum((2, 3)).clamp(min=1)


def dice_loss(logits: Tensor, truth: Truth, denominator: str = "plain") -> Tensor:
    """(R, M): 1 - (2 |A B| + s) / (|A| + |B| + s) over the valid pixels.

    Args:
        logits: (R, M, h, w).
        truth: what they are held against.
        denominator: "plain" sums and s = 1, or "squared" chances and s = 1e-5, see `LossWeights.dice_denominator`.
    """
    chance = logits.sigmoid() * truth.valid[:, None]
    target = (truth.mask * truth.valid)[:, None]
    both = (chance * target).sum((2, 3))
    squared = denominator == "squared"
    smooth, sizes = (1e-5, chance**2 + target**2) if squared else (1.0, chance + target)
    return 1 - (2 * both + smooth) / (sizes.sum((2, 3)) + smooth)


def actual_iou(logits: Tensor, truth: Truth) -> Tensor:
    """(R, M): IoU of the masks (logits above 0) with the truth (cells covered by half or more), no gradient."""
    valid = truth.valid[:, None] > 0
    mask, target = (logits.detach() > 0) & valid, (truth.mask[:, None] >= 0.5) & valid
    return (mask & target).sum((2, 3)) / (mask | target).sum((2, 3)).clamp(min=1)


def row_losses(
    guess: Guess, truth: Truth, weights: LossWeights, ambiguity: Ambiguity | None = None
) -> dict[str, Tensor]:
    """The four losses of R rows, each (R,) and weighted, and "reached", the IoU of the best candidate.

    Of several candidates only the best (by pixel and Dice loss) learns its mask; of their IoU all learn, or the best
    alone. Where the object is absent, only presence is learned.
    """
    ambiguity = ambiguity or Ambiguity()
    hard = truth
    if ambiguity.on and ambiguity.dice == "soft" and truth.soft is not None:
        hard = replace(truth, mask=truth.soft)
    logits = at_least_float32(guess.masks)
    pixel = weights.pixel * pixel_loss(logits, truth, weights, ambiguity.focal)
    dice = weights.dice * dice_loss(logits, hard, weights.dice_denominator)
    iou = actual_iou(logits, hard)
    best = (pixel + dice).detach().argmin(dim=1, keepdim=True)
    present = truth.present
    missed = (at_least_float32(guess.iou) - iou).abs()
    presence = F.binary_cross_entropy_with_logits(at_least_float32(guess.presence), present, reduction="none")
    shown = torch.ones_like(present) if ambiguity.on and ambiguity.absent == "learn" else present
    return {
        "pixel": pixel.gather(1, best)[:, 0] * shown,
        "dice": dice.gather(1, best)[:, 0] * present,
        "iou": weights.iou * (missed.mean(1) if weights.iou_of_all else missed.gather(1, best)[:, 0]) * present,
        "presence": weights.presence * presence,
        "reached": iou.gather(1, best)[:, 0],
    }


def at_least_float32(x: Tensor) -> Tensor:
    """Losses are not taken in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def as_truth(masks: Tensor, valid: Tensor, side: int, ambiguity: Ambiguity | None = None) -> Truth:
    """What R rows should say on a map of side x side cells: the mean over each cell's valid pixels.

    Args:
        masks: (R, S, S) bool.
        valid: (R, S, S) bool.
        side: of the map; divides S.
        ambiguity: whether and how the label is softened.
    """
    factor = masks.shape[-1] // side
    weight = F.avg_pool2d(valid[:, None].float(), factor)[:, 0]

    def cells(label: Tensor) -> Tensor:
        covered = F.avg_pool2d((label * valid)[:, None].float(), factor)[:, 0]
        return covered / weight.clamp(min=torch.finfo(torch.float32).eps)

    truth = Truth(cells(masks), (weight > 0).float())
    if ambiguity is None or not ambiguity.on:
        return truth
    if ambiguity.at == "loss":
        return replace(truth, soft=softened(truth.mask, truth.valid, ambiguity))
    return replace(truth, soft=cells(softened(masks.float(), valid.float(), ambiguity)))
