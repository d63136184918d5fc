"""Recipes: every setting of a training run as typed data; `trocar.settings` reads and writes them as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """One part of a run.

    Args:
        share: part of the run that it takes; the shares of all stages are scaled to add up to 1.
        side: of the square images, in pixels.
        images: images in a step on images.
        rows: prompts answered for each image.
        boxes: share of first prompts that are boxes; the others are clicks.
        corrections: rounds of correction clicks after the first answer, drawn from 0 to this number.
        clip_share: share of the steps that train on clips.
        clip_side: of the square frames of clips, in pixels.
        clips: clips in a step on clips.
        frames: most frames of a clip, the number of each step being drawn from 3 up; the first one is prompted.
        clip_corrections: share of the steps on clips in which a later frame gets a correction click.
        objects: objects followed in each clip.
    """

    share: float = 1.0
    side: int = 128
    images: int = 12
    rows: int = 6
    boxes: float = 0.55
    corrections: int = 1
    clip_share: float = 0.0
    clip_side: int = 128
    clips: int = 4
    frames: int = 4
    clip_corrections: float = 0.25
    objects: int = 2


@dataclass(frozen=True)
class Optimiser:
    """AdamW with a linear warm-up and a cosine down to `final_share` of the learning rate."""

    learning_rate: float = 1e-3
    final_share: float = 0.02
    warmup_steps: int = 200
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    average_decay: float = 0.998
    bf16: bool = False


@dataclass(frozen=True)
class LossWeights:
    """Weights of the four losses; `focal_gamma` 0 makes the pixel loss a plain cross-entropy.

    SAM 2 was trained with 20 / 1 / 1 / 1 and a focal loss of gamma 2; from scratch on little data the plain
    cross-entropy learns faster.
    """

    pixel: float = 2.0
    dice: float = 1.0
    iou: float = 0.2
    presence: float = 0.2
    focal_gamma: float = 0.0


@dataclass(frozen=True)
class PromptMix:
    """How objects are shown.

    Args:
        mask: share of the objects in clips that are first shown by their mask.
        box_noise: largest shift of a box's corner, in parts of the box's side.
        part_share: share of objects that are one connected part of a labelled object.
    """

    mask: float = 0.15
    box_noise: float = 0.1
    part_share: float = 0.15


@dataclass(frozen=True)
class Recipe:
    """A whole run.

    Args:
        model: "nano" or "tiny-random".
        seed: of the first weights and of every draw.
        steps: length of the run in optimiser steps, if `minutes` is 0.
        minutes: length of the run by the clock; then two runs do not agree to the last bit.
        workers: parts that a step's batch is cut into, each computed by a thread of its own; 1 for a GPU.
        data: name of a source (`trocar.train.clips.SOURCES`) -> its share of the samples.
        scenes: how many synthetic clips are rendered ahead.
    """

    model: str = "nano"
    seed: int = 0
    steps: int = 1000
    minutes: float = 0.0
    scenes: int = 1000
    workers: int = 1
    data: Mapping[str, float] = field(default_factory=lambda: {"vocalfolds": 0.45, "scenes": 0.5, "nuclei": 0.05})
    optimiser: Optimiser = field(default_factory=Optimiser)
    losses: LossWeights = field(default_factory=LossWeights)
    prompts: PromptMix = field(default_factory=PromptMix)
    stages: tuple[Stage, ...] = (Stage(),)

    def __post_init__(self) -> None:
        if not self.stages or min(stage.share for stage in self.stages) <= 0:
            raise ValueError("a recipe needs at least one stage, each with a share above 0")
        if self.steps < 1 and self.minutes <= 0:
            raise ValueError(f"a recipe runs for steps >= 1 or minutes > 0, not {self.steps} and {self.minutes}")

    def stage_at(self, progress: float) -> tuple[int, Stage]:
        """The number and settings of the stage at `progress` (0 to 1) of the run."""
        total, reached = sum(stage.share for stage in self.stages), 0.0
        for index, stage in enumerate(self.stages):
            reached += stage.share / total
            if progress < reached:
                return index, stage
        return len(self.stages) - 1, self.stages[-1]
