"""Simulated prompts: what a person would have said about a mask, with a person's noise (SAM 2, appendix D.2)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.track.prompt_input import PromptInput

Mask = NDArray[np.bool_]

TIGHT_SHARE = 0.4  # of the boxes are exact
CENTRE_SHARE = 0.5  # of the clicks sit in the middle of the largest error, the others anywhere in it


def first_prompt(mask: Tensor, rng: np.random.Generator, boxes: float, noise: float) -> PromptInput:
    """Show an object of (S, S) bool for the first time: by a box (share `boxes`) or by a click."""
    if rng.random() < boxes:
        return box_prompt(mask.numpy(), rng, noise)
    return click_prompt(mask.numpy(), rng)


def mask_prompt(mask: Tensor) -> PromptInput:
    """Show an object by its (S, S) bool mask."""
    return PromptInput(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), mask=mask)


def box_prompt(mask: Mask, rng: np.random.Generator, noise: float) -> PromptInput:
    """The box of a mask's outermost pixels; most have their corners shifted by up to `noise` of the box's side."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.array([columns[0], rows[0], columns[-1], rows[-1]], float)
    if rng.random() > TIGHT_SHARE:
        reach = noise * np.tile(box[2:] - box[:2] + 1, 2)
        box = box + rng.uniform(-1, 1, 4) * reach
    box = np.clip(box, 0, mask.shape[0] - 1)
    return PromptInput(torch.from_numpy(box.astype(np.float32)).view(2, 2), torch.tensor([2, 3]))


def click_prompt(mask: Mask, rng: np.random.Generator) -> PromptInput:
    """One positive click on a mask that is not empty."""
    return PromptInput(_place(mask, rng)[None], torch.tensor([1]))


def corrected(
    prompt: PromptInput, truth: Mask, guess: Mask, valid: Mask, rng: np.random.Generator
) -> PromptInput | None:
    """The prompt with one more click in the region where `guess` is wrong; None where it is right.

    The logits of the guess are added by the caller, who has them.
    """
    missed, wrong = truth & ~guess & valid, guess & ~truth & valid
    if not (missed.any() or wrong.any()):
        return None
    if rng.random() < CENTRE_SHARE:
        deepest = [_depth(region) for region in (missed, wrong)]
        positive = bool(deepest[0].max() >= deepest[1].max())
        place = _deepest(deepest[0] if positive else deepest[1])
    else:
        positive = bool(rng.random() * (missed.sum() + wrong.sum()) < missed.sum())
        place = _anywhere(missed if positive else wrong, rng)
    points = torch.cat((prompt.points, place[None]))
    return PromptInput(points, torch.cat((prompt.labels, torch.tensor([int(positive)]))))


def _place(mask: Mask, rng: np.random.Generator) -> Tensor:
    return _deepest(_depth(mask)) if rng.random() < CENTRE_SHARE else _anywhere(mask, rng)


def _depth(mask: Mask) -> NDArray[np.float32]:
    """Distance of each pixel of the mask to its edge; the picture's edge counts as one."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)


def _deepest(depth: NDArray[np.float32]) -> Tensor:
    row, column = divmod(int(depth.argmax()), depth.shape[1])
    return torch.tensor([float(column), float(row)])


def _anywhere(mask: Mask, rng: np.random.Generator) -> Tensor:
    places = np.flatnonzero(mask)
    row, column = divmod(int(places[int(rng.integers(len(places)))]), mask.shape[1])
    return torch.tensor([float(column), float(row)])


def with_previous(prompt: PromptInput, logits: Tensor) -> PromptInput:
    """The prompt together with the (s, s) logits that it is to improve."""
    return PromptInput(prompt.points, prompt.labels, previous=logits.detach())
