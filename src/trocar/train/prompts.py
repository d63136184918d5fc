"""Simulated prompts: what a person would have said about a mask, with a person's noise (SAM 2, appendix D.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.prompts import Box, Point, center_click, jittered_box, tight_box, uniform_click
from trocar.track.prompt_input import PromptInput
from trocar.train.recipe import PromptMix

Mask = NDArray[np.bool_]

EMPTY = PromptInput(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))


def first_prompt(mask: Tensor, rng: np.random.Generator, boxes: float, mix: PromptMix) -> PromptInput:
    """Show an object of (S, S) bool for the first time: by a box (share `boxes`) or by a click."""
    if rng.random() < boxes:
        return box_prompt(mask.numpy(), rng, mix)
    return click_prompt(mask.numpy(), rng, mix)


def mask_prompt(mask: Tensor) -> PromptInput:
    """Show an object by its (S, S) bool mask."""
    return replace(EMPTY, mask=mask)


def box_prompt(mask: Mask, rng: np.random.Generator, mix: PromptMix) -> PromptInput:
    """The box of a mask's outermost pixels; those that are not to be exact have their sides shifted by chance."""
    exact = rng.random() <= mix.tight_boxes
    if exact:
        box = tight_box(mask)
    elif mix.box_shift == "outwards":
        box = _widened(mask, rng, int(mix.box_noise_px))
    else:
        box = jittered_box(mask, rng, mix.box_noise, mix.box_noise_px)
    return PromptInput(torch.tensor([[box.x0, box.y0], [box.x1, box.y1]]), torch.tensor([2, 3]))


def _widened(mask: Mask, rng: np.random.Generator, most_px: int) -> Box:
    """The tight box with each side moved outwards by 0 to `most_px` pixels, within the image."""
    box, (rows, columns) = tight_box(mask), mask.shape
    left, up, right, down = (int(shift) for shift in rng.integers(most_px + 1, size=4))
    x1, y1 = max(box.x1, min(columns - 1, box.x1 + right)), max(box.y1, min(rows - 1, box.y1 + down))
    return Box(max(0, box.x0 - left), max(0, box.y0 - up), x1, y1)


def click_prompt(mask: Mask, rng: np.random.Generator, mix: PromptMix) -> PromptInput:
    """One positive click on a mask that is not empty."""
    click = _click(mask, np.zeros_like(mask), rng, mix)
    assert click is not None
    return PromptInput(torch.tensor([[click.x, click.y]]), torch.tensor([1]))


def corrected(
    prompt: PromptInput, truth: Mask, guess: Mask, rng: np.random.Generator, mix: PromptMix
) -> PromptInput | None:
    """The prompt with one more click in the region where `guess` is wrong; None where it is right.

    Both masks are False where there is no truth. The logits of the guess are added by the caller, who has them.
    """
    click = _click(truth, guess, rng, mix)
    if click is None:
        return None
    points = torch.cat((prompt.points, torch.tensor([[click.x, click.y]])))
    return PromptInput(points, torch.cat((prompt.labels, torch.tensor([int(click.positive)]))))


def _click(truth: Mask, guess: Mask, rng: np.random.Generator, mix: PromptMix) -> Point | None:
    return center_click(truth, guess) if rng.random() < mix.centre_clicks else uniform_click(truth, guess, rng)


def with_previous(prompt: PromptInput, logits: Tensor) -> PromptInput:
    """The prompt together with the (s, s) logits that it is to improve."""
    return PromptInput(prompt.points, prompt.labels, previous=logits.detach())
