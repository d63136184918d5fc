"""How a step is taught: how objects are shown, how answers are corrected, how losses are taken."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from trocar.track.prompt_input import PromptInput
from trocar.track.propagate import Outcome
from trocar.train.ambiguity import Ambiguity
from trocar.train.planned_memory import MemorySettings
from trocar.train.prompts import corrected, with_previous
from trocar.train.recipe import Corrections, LossWeights, PromptMix, Recipe, Stage


@dataclass(frozen=True)
class Lesson:
    """How a step is taught.

    Args:
        prompts: how objects are shown.
        losses: weights.
        boxes: share of first prompts that are boxes.
        corrections: rounds of correction clicks on images; on clips, whether frames are corrected.
        clicks: which frames of clips are corrected, and how.
        memory: what clips are remembered with.
        ambiguity: soft labels.
    """

    prompts: PromptMix
    losses: LossWeights
    boxes: float = 0.5
    corrections: int = 0
    clicks: Corrections = field(default_factory=Corrections)
    memory: MemorySettings = field(default_factory=MemorySettings)
    ambiguity: Ambiguity = field(default_factory=Ambiguity)


def lesson_of(recipe: Recipe, stage: Stage, corrections: int) -> Lesson:
    """What a recipe teaches in a stage; `corrections` is drawn anew for each step."""
    asked = (recipe.corrections, recipe.memory, recipe.ambiguity)
    return Lesson(recipe.prompts, recipe.losses, stage.boxes, corrections, *asked)


def draw_corrections(stage: Stage, clips: bool, rng: np.random.Generator) -> int:
    """Rounds of corrections in a step on images; in one on clips, 1 or 0 for whether frames are corrected."""
    if clips:
        return int(rng.random() < stage.clip_corrections)
    return int(rng.integers(min(stage.least_corrections, stage.corrections), stage.corrections + 1))


def correction(
    prompt: PromptInput, truth: tuple[Tensor, Tensor], logits: Tensor, lesson: Lesson, rng: np.random.Generator
) -> PromptInput | None:
    """The prompt with one click more, which says where an answer is wrong; None where it is right.

    Args:
        prompt: what was said so far.
        truth: (S, S) bool mask and valid pixels.
        logits: (s, s) of the answer, which the click goes with.
        lesson: how clicks fall.
        rng: source of chance.
    """
    mask, valid = truth
    large = F.interpolate(logits[None, None].float(), size=mask.shape, mode="bilinear", align_corners=False)[0, 0]
    known = valid.numpy()
    guess = (large > 0).cpu().numpy() & known
    if lesson.clicks.from_truth and rng.random() < lesson.clicks.from_truth:
        guess = np.zeros_like(guess)
    better = corrected(prompt, mask.numpy() & known, guess, rng, lesson.prompts)
    return None if better is None else with_previous(better, logits)


def best_logits(outcome: Outcome) -> Tensor:
    """(s, s) logits of the candidate with the largest predicted IoU, whatever the network says about presence."""
    assert outcome.decoded is not None
    return outcome.decoded.masks[0, int(outcome.decoded.iou[0].argmax())].detach()
