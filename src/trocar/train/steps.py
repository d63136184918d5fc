"""The two kinds of training step, on images and on clips, both through `trocar.track.propagate.step`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.memory.none import NoMemory
from trocar.memory.recent import Recent
from trocar.memory.seam import Visit
from trocar.model import Network
from trocar.track.entries import StepSettings
from trocar.track.prompt_input import PromptInput
from trocar.track.propagate import Outcome, step
from trocar.track.rows import Task
from trocar.track.track import Track
from trocar.train.clips import Sample, image_batch
from trocar.train.losses import Guess, as_truth, row_losses
from trocar.train.prompts import corrected, first_prompt, mask_prompt, with_previous
from trocar.train.recipe import LossWeights, PromptMix

# The two rules of the released predictor that its training does without: they cut gradients.
TRAINING = StepSettings(stability_fallback=False, binarize_prompted=False)
NO_CLICKS = PromptInput(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))


@dataclass(frozen=True)
class Lesson:
    """How a step is taught.

    Args:
        boxes: share of first prompts that are boxes.
        corrections: rounds of correction clicks on images; on clips, whether one later frame gets one.
    """

    prompts: PromptMix
    losses: LossWeights
    boxes: float = 0.5
    corrections: int = 0


@dataclass(eq=False)
class Tally:
    """Weighted losses of the answers so far: sums over rows, and how many rows there were."""

    sums: dict[str, Tensor]
    rows: int = 0

    @classmethod
    def empty(cls) -> Tally:
        return cls({})

    def add(self, outcomes: Sequence[Outcome], masks: Tensor, valid: Tensor, weights: LossWeights) -> None:
        """Add the losses of outcomes whose (R, S, S) true masks and valid pixels are given."""
        by_count: dict[int, list[int]] = {}
        for index, outcome in enumerate(outcomes):
            assert outcome.decoded is not None
            by_count.setdefault(outcome.decoded.masks.shape[1], []).append(index)
        for members in by_count.values():
            decoded = [outcomes[index].decoded for index in members]
            logits = torch.cat([one.masks for one in decoded if one is not None])
            side = logits.shape[-1] * 2  # half the input's size: finer than the decoder's cells, cheaper than pixels
            logits = F.interpolate(logits.float(), size=(side, side), mode="bilinear", align_corners=False)
            guess = Guess(
                logits,
                torch.cat([one.iou for one in decoded if one is not None]),
                torch.cat([one.object_score for one in decoded if one is not None]),
            )
            truth = as_truth(masks[members], valid[members], side)
            for name, value in row_losses(guess, truth, weights).items():
                self.sums[name] = self.sums.get(name, torch.zeros((), device=value.device)) + value.sum()
        self.rows += len(outcomes)

    def means(self) -> dict[str, Tensor]:
        return {name: value / max(self.rows, 1) for name, value in self.sums.items()}


def image_losses(
    network: Network, samples: Sequence[Sample], lesson: Lesson, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Losses of prompts on images: each image is encoded once and answers all its rows, then their corrections."""
    device = network.absent_pointer.device
    features = network.encode_image(image_batch(samples).to(device))
    image = [index for index, sample in enumerate(samples) for _ in sample.masks]
    masks = torch.cat([sample.masks[:, 0] for sample in samples])
    valid = torch.cat([sample.valid[:1] for sample in samples])[image]
    prompts = [first_prompt(mask, rng, lesson.boxes, lesson.prompts.box_noise) for mask in masks]
    chosen = list(range(len(prompts)))
    tally, visit = Tally.empty(), Visit(0, 0)
    for turn in range(lesson.corrections + 1):
        tasks = [Task(Track(row, NoMemory()), visit, prompts[row], False, image[row]) for row in chosen]
        outcomes = step(network, features, tasks, TRAINING)
        tally.add(outcomes, masks[chosen].to(device), valid[chosen].to(device), lesson.losses)
        if turn == lesson.corrections:
            break
        answers = dict(zip(chosen, (best_logits(outcome) for outcome in outcomes), strict=True))
        better = {row: _correction(prompts[row], masks[row], valid[row], answers[row], rng) for row in chosen}
        chosen = [row for row, prompt in better.items() if prompt is not None]
        if not chosen:
            break
        prompts = [better.get(row) or prompt for row, prompt in enumerate(prompts)]
    return tally.means()


def _correction(
    prompt: PromptInput, truth: Tensor, valid: Tensor, logits: Tensor, rng: np.random.Generator
) -> PromptInput | None:
    large = F.interpolate(logits[None, None].float(), size=truth.shape, mode="bilinear", align_corners=False)[0, 0]
    guess = (large > 0).cpu().numpy()
    better = corrected(prompt, truth.numpy(), guess, valid.numpy(), rng)
    return None if better is None else with_previous(better, logits)


def best_logits(outcome: Outcome) -> Tensor:
    """(s, s) logits of the candidate with the largest predicted IoU, whatever the network says about presence."""
    assert outcome.decoded is not None
    return outcome.decoded.masks[0, int(outcome.decoded.iou[0].argmax())].detach()


def _first_in_clip(mask: Tensor, lesson: Lesson, rng: np.random.Generator) -> PromptInput:
    if rng.random() < lesson.prompts.mask:
        return mask_prompt(mask)
    return first_prompt(mask, rng, lesson.boxes, lesson.prompts.box_noise)


def clip_losses(
    network: Network, samples: Sequence[Sample], lesson: Lesson, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Losses of tracking: the first frame of each clip is prompted, the others follow through memory.

    Frame t of all clips and objects is one step. All clips have equally many frames. One of the later frames may get a
    correction click, which from then on is remembered as a prompt.
    """
    device = network.absent_pointer.device
    features = network.encode_image(image_batch(samples).to(device))
    frames = len(samples[0].images)
    clip = [index for index, sample in enumerate(samples) for _ in sample.masks]
    masks = torch.cat([sample.masks for sample in samples])
    valid = torch.stack([sample.valid for sample in samples])[clip]
    tracks = [Track(row, Recent()) for row in range(len(clip))]
    tally, to_correct = Tally.empty(), int(rng.integers(1, frames)) if lesson.corrections else 0

    def follow(frame: int, prompts: dict[int, PromptInput]) -> list[Outcome]:
        """One step of the given rows, or of all if no prompts are given; whatever is prompted is remembered."""
        visit, rows = Visit(frame, frame), list(prompts) or list(range(len(tracks)))
        tasks = [Task(tracks[row], visit, prompts.get(row), frame > 0, clip[row] * frames + frame) for row in rows]
        outcomes = step(network, features, tasks, TRAINING)
        for row in prompts:
            tracks[row].tell(visit, tracks[row].prompted[frame])
        # A mask prompt is its own answer: there is nothing to learn from it.
        told = [place for place, task in enumerate(tasks) if task.prompt is None or task.prompt.mask is None]
        at = [rows[place] for place in told]
        tally.add(
            [outcomes[place] for place in told],
            masks[at, frame].to(device),
            valid[at, frame].to(device),
            lesson.losses,
        )
        return outcomes

    follow(0, {row: _first_in_clip(mask[0], lesson, rng) for row, mask in enumerate(masks)})
    for frame in range(1, frames):
        outcomes = follow(frame, {})
        if frame == to_correct:
            tries = [
                _correction(NO_CLICKS, masks[row, frame], valid[row, frame], best_logits(outcome), rng)
                for row, outcome in enumerate(outcomes)
            ]
            corrections = {row: prompt for row, prompt in enumerate(tries) if prompt is not None}
            if corrections:
                follow(frame, corrections)
    return tally.means()
