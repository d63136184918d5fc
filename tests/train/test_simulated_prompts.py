"""Simulated prompts say what a person could have said about the mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trocar.train.prompts import box_prompt, click_prompt, corrected, first_prompt, with_previous
from trocar.train.recipe import PromptMix


def square(side: int = 32) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.zeros((side, side), bool)
    mask[8:20, 4:12] = True
    return mask


@given(seed=st.integers(0, 10_000))
def test_boxes_are_tight_up_to_the_noise(seed: int) -> None:
    prompt = box_prompt(square(), np.random.default_rng(seed), PromptMix())
    assert prompt.labels.tolist() == [2, 3]
    error = (prompt.points - torch.tensor([[4.0, 8.0], [11.0, 19.0]])).abs()
    assert (error <= torch.tensor([0.8, 1.2]) + 1e-4).all()


@given(seed=st.integers(0, 10_000))
def test_clicks_lie_on_the_object(seed: int) -> None:
    prompt = click_prompt(square(), np.random.default_rng(seed), PromptMix())
    ((x, y),) = prompt.points.long().tolist()
    assert square()[y, x]
    assert prompt.labels.tolist() == [1]


@given(seed=st.integers(0, 10_000))
def test_corrections_lie_on_errors_and_say_which_way(seed: int) -> None:
    truth, guess, valid = square(), np.roll(square(), 5, 1), np.ones((32, 32), bool)
    valid[8:12] = False
    first = click_prompt(truth, np.random.default_rng(seed), PromptMix())
    better = corrected(first, truth & valid, guess & valid, np.random.default_rng(seed), PromptMix())
    assert better is not None
    assert torch.equal(better.points[:1], first.points)
    x, y = better.points[-1].long().tolist()
    assert truth[y, x] != guess[y, x]
    assert valid[y, x]
    assert bool(better.labels[-1]) == truth[y, x]


def test_a_perfect_guess_needs_no_correction() -> None:
    rng = np.random.default_rng(0)
    prompt = click_prompt(square(), rng, PromptMix())
    assert corrected(prompt, square(), square(), rng, PromptMix()) is None


def test_the_share_of_boxes_is_kept() -> None:
    rng = np.random.default_rng(0)
    kinds = [len(first_prompt(torch.from_numpy(square()), rng, 0.7, PromptMix()).labels) == 2 for _ in range(1000)]
    assert np.mean(kinds) == pytest.approx(0.7, abs=0.05)


def test_exact_boxes_and_central_clicks_come_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    tight = torch.tensor([[4.0, 8.0], [11.0, 19.0]])
    for share in (0.0, 0.4, 1.0):
        boxes = [box_prompt(square(), rng, PromptMix(tight_boxes=share)).points for _ in range(500)]
        assert np.mean([torch.equal(box, tight) for box in boxes]) == pytest.approx(share, abs=0.07)
    clicks = [click_prompt(square(), rng, PromptMix(centre_clicks=1.0)).points for _ in range(20)]
    assert len({tuple(click[0].tolist()) for click in clicks}) == 1
    near = [box_prompt(square(), rng, PromptMix(tight_boxes=0, box_noise_px=0.3)).points for _ in range(100)]
    assert max(float((box - tight).abs().max()) for box in near) <= 0.3 + 1e-5


def test_boxes_that_only_grow_move_each_side_for_itself_by_whole_pixels() -> None:
    """MedSAM's release: each side outwards by 0 to 20 pixels with equal chance, up to the image's border."""
    mask = np.zeros((100, 100), bool)
    mask[40:43, 30:34] = True  # smaller than the shift
    mix, rng, draws = (
        PromptMix(tight_boxes=0, box_shift="outwards", box_noise_px=20.0),
        np.random.default_rng(0),
        10_000,
    )
    boxes = torch.stack([box_prompt(mask, rng, mix).points for _ in range(draws)])
    shifts = (boxes - torch.tensor([[30.0, 40.0], [33.0, 42.0]])).flatten(1) * torch.tensor([-1, -1, 1, 1])
    for side in shifts.T:
        counts = np.bincount(side.long().numpy(), minlength=21)
        assert (side == side.round()).all()
        assert len(counts) == 21
        assert np.abs(counts - draws / 21).max() < 5 * np.sqrt(draws / 21)
    assert np.abs(np.corrcoef(shifts.T.numpy()) - np.eye(4)).max() < 0.05
    mask[:] = True
    assert box_prompt(mask, rng, mix).points.tolist() == [[0.0, 0.0], [99.0, 99.0]]


def test_previous_logits_carry_no_gradient() -> None:
    logits = torch.zeros(8, 8, requires_grad=True)
    prompt = with_previous(click_prompt(square(), np.random.default_rng(0), PromptMix()), logits)
    assert prompt.previous is not None
    assert not prompt.previous.requires_grad
