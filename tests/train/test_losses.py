"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trocar.train.losses import Guess, Truth, actual_iou, as_truth, dice_loss, pixel_loss, row_losses
from trocar.train.recipe import LossWeights

ONE = LossWeights(pixel=1, dice=1, iou=1, presence=1)
PLAIN, FOCAL = LossWeights(focal_gamma=0), LossWeights(focal_gamma=2)


def logit(chance: float) -> float:
    return math.log(chance / (1 - chance))


def masks(*rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor([[row] for row in rows])


def everywhere(mask: torch.Tensor) -> Truth:
    return Truth(mask, torch.ones_like(mask))


def test_pixel_loss_is_the_mean_cross_entropy() -> None:
    logits = masks([[logit(0.9), logit(0.2)]])
    truth = everywhere(torch.tensor([[[1.0, 0.0]]]))
    expected = (-math.log(0.9) - math.log(0.8)) / 2
    assert pixel_loss(logits, truth, PLAIN).item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_weighs_a_pixel_by_the_square_of_its_error() -> None:
    logits = masks([[logit(0.9), logit(0.2)]])
    truth = everywhere(torch.tensor([[[1.0, 0.0]]]))
    expected = (-(0.1**2) * math.log(0.9) - 0.2**2 * math.log(0.8)) / 2
    assert pixel_loss(logits, truth, FOCAL).item() == pytest.approx(expected, rel=1e-5)


def test_alpha_weighs_pixels_on_the_object_and_beside_it() -> None:
    logits = masks([[logit(0.9), logit(0.2)]])
    truth = everywhere(torch.tensor([[[1.0, 0.0]]]))
    expected = (-0.25 * 0.1**2 * math.log(0.9) - 0.75 * 0.2**2 * math.log(0.8)) / 2
    loss = pixel_loss(logits, truth, LossWeights(focal_gamma=2, focal_alpha=0.25))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_dice_is_smoothed_by_one() -> None:
    logits = masks([[logit(0.5), logit(0.25)]])
    truth = everywhere(torch.tensor([[[1.0, 0.0]]]))
    # 1 - (2 * 0.5 + 1) / (0.75 + 1 + 1)
    assert dice_loss(logits, truth).item() == pytest.approx(1 - 2 / 2.75, rel=1e-5)


def test_dice_with_squares_by_hand() -> None:
    logits = masks([[logit(0.5), logit(0.25)]])
    truth = everywhere(torch.tensor([[[1.0, 0.0]]]))
    # 1 - 2 * 0.5 / (0.5 * 0.5 + 0.25 * 0.25 + 1 * 1)
    assert dice_loss(logits, truth, "squared").item() == pytest.approx(1 - 1 / 1.3125, rel=1e-4)
    squared = replace(ONE, dice_denominator="squared")
    losses = row_losses(Guess(logits, torch.ones(1, 1), torch.zeros(1)), truth, squared)
    assert losses["dice"].item() == pytest.approx(1 - 1 / 1.3125, rel=1e-4)


def test_pixels_without_a_truth_do_not_count() -> None:
    truth = Truth(torch.tensor([[[1.0, 0.0, 1.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]]))
    seen = everywhere(torch.tensor([[[1.0, 0.0]]]))
    wild, tame = masks([[2.0, 1.0, -50.0]]), masks([[2.0, 1.0]])
    assert torch.allclose(pixel_loss(wild, truth, PLAIN), pixel_loss(tame, seen, PLAIN))
    assert torch.allclose(dice_loss(wild, truth), dice_loss(tame, seen))
    assert torch.allclose(actual_iou(wild, truth), actual_iou(tame, seen))
    assert actual_iou(wild, truth).item() == 0.5


def test_only_the_best_of_several_candidates_learns_its_mask_but_all_learn_their_iou() -> None:
    logits = torch.tensor([[[[3.0, -3.0]], [[-3.0, 3.0]], [[3.0, 3.0]]]], requires_grad=True)
    iou = torch.tensor([[0.5, 0.25, 0.75]], requires_grad=True)
    truth = everywhere(torch.tensor([[[1.0, 0.0]]]))
    losses = row_losses(Guess(logits, iou, torch.tensor([0.0])), truth, ONE)
    (losses["pixel"] + losses["dice"]).sum().backward()
    assert logits.grad is not None
    assert [bool(grad.abs().sum() > 0) for grad in logits.grad[0]] == [True, False, False]
    # the candidates' real IoU is 1, 0 and 1/2: mean of |0.5 - 1|, |0.25 - 0| and |0.75 - 0.5|
    assert losses["iou"].item() == pytest.approx(1 / 3, rel=1e-5)
    assert losses["reached"].item() == 1.0
    alone = row_losses(Guess(logits, iou, torch.tensor([0.0])), truth, replace(ONE, iou_of_all=False))
    assert alone["iou"].item() == pytest.approx(0.5, rel=1e-5)
    assert losses["presence"].item() == pytest.approx(math.log(2), rel=1e-5)


def test_an_absent_object_teaches_presence_only() -> None:
    logits = torch.randn(2, 3, 4, 4)
    mask = torch.zeros(2, 4, 4)
    mask[1, 0, 0] = 1
    losses = row_losses(Guess(logits, torch.rand(2, 3), torch.tensor([2.0, 2.0])), everywhere(mask), ONE)
    for name in ("pixel", "dice", "iou"):
        assert losses[name][0] == 0
        assert losses[name][1] > 0
    assert losses["presence"][0].item() == pytest.approx(math.log1p(math.exp(2)), rel=1e-5)
    assert losses["presence"][1].item() == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)


def test_a_coarse_truth_is_the_share_of_valid_pixels() -> None:
    mask = torch.tensor([[[1, 1], [0, 1]]], dtype=torch.bool)
    valid = torch.tensor([[[1, 1], [1, 0]]], dtype=torch.bool)
    truth = as_truth(mask, valid, 1)
    assert truth.mask.item() == pytest.approx(2 / 3)
    assert truth.valid.item() == 1
    assert as_truth(mask, torch.zeros_like(valid), 1).valid.item() == 0
