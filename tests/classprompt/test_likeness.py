"""What is inside a mask, by hand, and which class that is like."""

from __future__ import annotations

import pytest
import torch

from trocar.classprompt.likeness import Likeness, Seen, appearance
from trocar.model.tensors import ImageFeatures


def test_the_mean_and_the_spread_inside_a_mask_by_hand() -> None:
    """One channel a level; the mask covers the left half, whose cells hold 1 and 3 at stride 16."""
    coarse = torch.tensor([[[[1.0, 9.0], [3.0, 9.0]]]])
    middle, fine = torch.full((1, 1, 4, 4), 2.0), torch.zeros(1, 0, 8, 8)
    inside = torch.zeros(2, 8, 8)
    inside[0, :, :4] = 1.0
    numbers = appearance(ImageFeatures(fine, middle, coarse), inside, torch.tensor([0, 0]))
    assert numbers[0].tolist() == pytest.approx([2.0, 1.0, 2.0, 0.0], abs=1e-6)
    assert numbers[1].tolist() == [0.0, 0.0, 0.0, 0.0], "an empty mask"


def test_probabilities_are_those_of_the_distributions_that_were_drawn_from() -> None:
    """Two classes and the ground, of one covariance: Bayes' rule by hand."""
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    mixing = torch.tensor([[1.0, 0.5], [0.0, 2.0]])
    of = torch.arange(3).repeat(20_000)
    drawn = centres[of] + torch.randn(len(of), 2) @ mixing
    likeness = Likeness(2)
    likeness.fit(Seen(drawn, torch.where(of == 2, -1, of)))
    some = drawn[:300]
    classes = torch.arange(2).repeat(150)
    inverse = torch.linalg.inv(mixing.T @ mixing)
    away = some[:, None] - centres
    truth = (-0.5 * torch.einsum("nkd,de,nke->nk", away, inverse, away)).log_softmax(1)
    found = likeness(some, classes, 2)
    assert (found.exp() - truth.gather(1, classes[:, None])[:, 0].exp()).abs().max() < 0.03


def test_a_class_that_was_added_changes_nothing_for_the_others() -> None:
    torch.manual_seed(1)
    of = torch.arange(3).repeat(50) - 1
    drawn = torch.randn(150, 4) + 3 * of[:, None]
    likeness = Likeness(2)
    likeness.fit(Seen(drawn, of))
    classes = torch.arange(2).repeat(75)
    before = likeness(drawn, classes, 2)
    own = torch.randn(5, 4) + torch.tensor([9.0, -9.0, 9.0, -9.0])
    likeness.add(own)
    assert torch.equal(likeness(drawn, classes, 2), before)
    added = torch.full((5,), 2)
    assert likeness(own, added, 2).exp().min() > 0.9
    assert likeness(drawn[:5], added, 2).exp().max() < 0.1


def test_nothing_is_like_a_class_without_a_mask_and_an_unfitted_one_says_nothing() -> None:
    torch.manual_seed(2)
    drawn = torch.randn(40, 3)
    likeness = Likeness(2)
    assert likeness(drawn, torch.ones(40, dtype=torch.long), 2).tolist() == [0.0] * 40
    likeness.fit(Seen(drawn, torch.arange(2).repeat(20) - 1))  # the ground, and class 0
    assert likeness(drawn, torch.ones(40, dtype=torch.long), 2).exp().tolist() == [0.0] * 40
    assert torch.isfinite(likeness(drawn, torch.zeros(40, dtype=torch.long), 2)).all()
