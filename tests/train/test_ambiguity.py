"""Soft labels against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trocar.train.ambiguity import Ambiguity, gaussian, softened
from trocar.train.losses import Guess, Truth, as_truth, pixel_loss, row_losses
from trocar.train.recipe import LossWeights

FOCAL = LossWeights(pixel=1, dice=1, iou=1, presence=1, focal_gamma=2.0)
# One line of the kernel: exp(-x^2 / 2) for x = -2..2, which add up to 1 + 2 e^-1/2 + 2 e^-2.
NEAR, FAR = math.exp(-0.5), math.exp(-2.0)
LINE = 1 + 2 * NEAR + 2 * FAR


def every(label: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(label)


def edge() -> torch.Tensor:
    """9 x 9, the object fills the columns from 4 on."""
    label = torch.zeros(1, 9, 9)
    label[..., 4:] = 1
    return label


def test_the_kernel_as_written_adds_up_to_less_than_one() -> None:
    written = gaussian(Ambiguity(normalised=False))
    assert written.shape == (5, 5)
    assert written[2, 2].item() == pytest.approx(1 / (2 * math.pi))
    assert written.sum().item() == pytest.approx(LINE**2 / (2 * math.pi))
    assert written.sum().item() == pytest.approx(0.982, abs=5e-4)
    assert gaussian(Ambiguity()).sum().item() == pytest.approx(1)


def test_a_straight_edge_by_hand() -> None:
    soft = softened(edge(), every(edge()), Ambiguity())
    expected = [0, 0, FAR / LINE, (NEAR + FAR) / LINE, 1 - (NEAR + FAR) / LINE, 1 - FAR / LINE, 1, 1, 1]
    for row in soft[0]:
        assert row.tolist() == pytest.approx(expected, abs=1e-6)
    written = softened(edge(), every(edge()), Ambiguity(normalised=False))
    assert (written / soft.clamp(min=1e-9))[soft > 0].tolist() == pytest.approx(
        [LINE**2 / (2 * math.pi)] * 63, rel=1e-5
    )


def test_a_mask_of_ones_stays_one_up_to_the_border() -> None:
    ones = torch.ones(1, 8, 8)
    assert torch.allclose(softened(ones, ones, Ambiguity()), ones)
    written = softened(ones, ones, Ambiguity(normalised=False))
    assert torch.allclose(written, torch.full_like(ones, 0.982), atol=5e-4)
    open_border = softened(ones, ones, Ambiguity(border="zeros"))
    assert open_border[0, 4, 4].item() == pytest.approx(1)
    # a corner sees the middle and two steps each way of five: (1 + e^-1/2 + e^-2) squared
    assert open_border[0, 0, 0].item() == pytest.approx(((1 + NEAR + FAR) / LINE) ** 2)


def test_pixels_without_a_truth_do_not_soften_their_neighbours() -> None:
    label, valid = torch.ones(1, 8, 8), torch.ones(1, 8, 8)
    label[..., 4:] = 0
    valid[..., 4:] = 0
    assert torch.allclose(softened(label, valid, Ambiguity())[..., :4], torch.ones(1, 8, 4))


def one_pixel(chance: float, label: float) -> tuple[torch.Tensor, Truth]:
    logits = torch.full((1, 1, 1, 1), math.log(chance / (1 - chance)), requires_grad=True)
    return logits, Truth(torch.ones(1, 1, 1), torch.ones(1, 1, 1), soft=torch.full((1, 1, 1), label))


def test_both_forms_of_the_focal_loss_by_hand() -> None:
    logits, truth = one_pixel(0.6, 0.8)
    entropy = -(0.8 * math.log(0.6) + 0.2 * math.log(0.4))
    assert pixel_loss(logits, truth, FOCAL).item() == pytest.approx(0.2**2 * entropy, rel=1e-4)
    right = 0.6 * 0.8 + 0.4 * 0.2
    assert pixel_loss(logits, truth, FOCAL, "usual").item() == pytest.approx((1 - right) ** 2 * entropy, rel=1e-4)
    weighed = LossWeights(focal_gamma=2.0, focal_alpha=0.25)
    alpha = 0.25 * 0.8 + 0.75 * 0.2
    assert pixel_loss(logits, truth, weighed).item() == pytest.approx(alpha * 0.2**2 * entropy, rel=1e-4)


def test_only_the_distance_form_is_least_where_the_answer_equals_the_soft_label() -> None:
    slopes = {}
    for form in ("distance", "usual"):
        logits, truth = one_pixel(0.7, 0.7)
        pixel_loss(logits, truth, FOCAL, form).sum().backward()
        assert logits.grad is not None
        slopes[form] = logits.grad.item()
    assert slopes["distance"] == pytest.approx(0, abs=1e-7)
    # By hand: p_t is 0.58, its slope (2 y - 1) p (1 - p), and cross-entropy is flat at p = y.
    entropy = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    pushed = -2 * (1 - 0.58) * 0.4 * 0.21 * entropy
    assert slopes["usual"] == pytest.approx(pushed, rel=1e-4), "it goes on to push the answer towards 1"


def test_hard_labels_make_both_forms_equal() -> None:
    torch.manual_seed(0)
    truth = Truth((torch.rand(2, 4, 4) > 0.5).float(), torch.ones(2, 4, 4))
    logits = torch.randn(2, 3, 4, 4)
    assert torch.allclose(pixel_loss(logits, truth, FOCAL), pixel_loss(logits, truth, FOCAL, "usual"))


def guess(logits: torch.Tensor) -> Guess:
    return Guess(logits, torch.full(logits.shape[:2], 0.5), torch.zeros(len(logits)))


def test_dice_and_iou_keep_the_hard_label_unless_asked_otherwise() -> None:
    hard = as_truth(edge() > 0, edge() >= 0, 9)
    soft = as_truth(edge() > 0, edge() >= 0, 9, Ambiguity(on=True))
    assert torch.equal(hard.mask, soft.mask)
    logits = torch.randn(1, 1, 9, 9)
    plain = row_losses(guess(logits), hard, FOCAL)
    kept = row_losses(guess(logits), soft, FOCAL, Ambiguity(on=True))
    asked = row_losses(guess(logits), soft, FOCAL, Ambiguity(on=True, dice="soft"))
    assert torch.equal(plain["dice"], kept["dice"])
    assert torch.equal(plain["iou"], kept["iou"])
    assert not torch.allclose(plain["pixel"], kept["pixel"])
    assert not torch.allclose(plain["dice"], asked["dice"])
    assert torch.equal(plain["iou"], asked["iou"]), "a straight edge stays where it is at one half"


def test_an_absent_object_has_a_label_of_zeros_that_may_be_learned() -> None:
    truth = as_truth(torch.zeros(1, 8, 8) > 0, torch.ones(1, 8, 8) > 0, 8, Ambiguity(on=True))
    assert truth.soft is not None
    assert not truth.soft.any()
    assert truth.present.item() == 0
    logits = torch.zeros(1, 1, 8, 8)
    assert row_losses(guess(logits), truth, FOCAL, Ambiguity(on=True))["pixel"].item() == 0
    learned = row_losses(guess(logits), truth, FOCAL, Ambiguity(on=True, absent="learn"))["pixel"].item()
    assert learned == pytest.approx(0.5**2 * math.log(2), rel=1e-5)


def test_the_kernel_counts_pixels_of_the_input_or_cells_of_the_loss() -> None:
    mask = edge()[:, :8, 1:] > 0
    fine = as_truth(mask, mask | True, 4, Ambiguity(on=True))
    coarse = as_truth(mask, mask | True, 4, Ambiguity(on=True, at="loss"))
    assert fine.soft is not None
    assert coarse.soft is not None
    # the object fills the columns from 3 on, so of cell 1 the second half
    pixel_two, pixel_three = (NEAR + FAR) / LINE, 1 - (NEAR + FAR) / LINE
    assert fine.soft[0, 0, 1].item() == pytest.approx((pixel_two + pixel_three) / 2, rel=1e-5)
    assert coarse.soft[0, 0, 1].item() == pytest.approx((0.5 + NEAR + FAR) / LINE, rel=1e-5)


@pytest.mark.parametrize("wrong", [{"size": 4}, {"sigma": 0.0}])
def test_an_impossible_kernel_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="odd size and a sigma above 0"):
        Ambiguity(**wrong)  # type: ignore[arg-type]
