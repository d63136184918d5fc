"""Recipes: every setting of a training run as typed data; `trocar.settings` reads and writes them as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trocar.train.ambiguity import Ambiguity
from trocar.train.augment import Augment
from trocar.train.engine import Engine
from trocar.train.optimise import Optimiser
from trocar.train.parts import Parts
from trocar.train.plan import PlanSettings
from trocar.train.planned_memory import MemorySettings
from trocar.train.render import SceneShape
from trocar.train.sampling import Sampling
from trocar.train.semantic import Semantic
from trocar.train.validation import SCENES, Validation


@dataclass(frozen=True)
class Stage:
    """One part of a run.

    Args:
        share: part of the run that it takes; the shares of all stages are scaled to add up to 1.
        side: of the square images, in pixels.
        images: images in a step on images.
        rows: prompts answered for each image.
        boxes: share of first prompts that are boxes; the others are clicks.
        corrections: most rounds of correction clicks after the first answer on images (SAM 2: 7).
        least_corrections: fewest; how many it is, is drawn between the two in each step (SAM 2: 7 too).
        clip_share: share of the steps that train on clips.
        clip_side: of the square frames of clips, in pixels.
        clips: clips in a step on clips.
        frames: most frames of a clip, the number of each step being drawn from 3 up; the first one is prompted.
        clip_corrections: share of the steps on clips in which frames are corrected, as `Corrections` says.
        objects: objects followed in each clip.
    """

    share: float = 1.0
    side: int = 128
    images: int = 12
    rows: int = 6
    boxes: float = 0.55
    corrections: int = 1
    least_corrections: int = 0
    clip_share: float = 0.0
    clip_side: int = 128
    clips: int = 4
    frames: int = 4
    clip_corrections: float = 0.25
    objects: int = 2


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses, and how they are taken.

    SAM 2 was trained with 20 / 1 / 1 / 1, a focal loss of gamma 2 and alpha 0.25, sums, and maps of the input's size
    (`iou_of_all` true); SAM2S with the same and 0.1 for `semantic`. From scratch on little data the plain
    cross-entropy learns faster.

    Args:
        semantic: of the class that the semantic head says (`train/semantic.py`).
        focal_gamma: 0 makes the pixel loss a plain cross-entropy.
        focal_alpha: weight of pixels on the object; those beside it get the rest to 1. Left out, all weigh 1.
        iou_of_all: whether all candidates learn their IoU, or the best one alone.
        dice_denominator: "plain" sums of both masks, smoothed by 1 (SAM 2); "squared" sums of their squares, smoothed
            by 1e-5 (Milletari et al. 2016; MedSAM's release).
        reduction: "mean" over answers; "sum" over the answers of a clip (each frame, and each correction again),
            divided by the number of objects.
        stride_px: pixels of the network's input across a cell of the map on which masks are compared.
    """

    pixel: float = 2.0
    dice: float = 1.0
    iou: float = 0.2
    presence: float = 0.2
    semantic: float = 0.1
    focal_gamma: float = 0.0
    focal_alpha: float | None = None
    iou_of_all: bool = True
    dice_denominator: Literal["plain", "squared"] = "plain"
    reduction: Literal["mean", "sum"] = "mean"
    stride_px: int = 2


@dataclass(frozen=True)
class PromptMix:
    """How objects are shown.

    Args:
        mask: share of the objects in clips that are first shown by their mask (SAM 2: one half).
        box_noise: largest shift of a box's corner, in parts of the box's side; below one half.
        box_noise_px: bound on that shift in pixels of the network's input.
        box_shift: "either" way, drawn evenly up to both bounds (SAM 2); or "outwards", each side by whole pixels from 0
            to `box_noise_px`, however small the box (MedSAM's release).
        tight_boxes: share of the boxes that are exact (SAM 2: none).
        centre_clicks: share of the clicks that sit in the middle of the largest error, the others anywhere in an error
            (SAM 2: none).
        part_share: share of objects that are one connected part of a labelled object.
    """

    mask: float = 0.15
    box_noise: float = 0.1
    box_noise_px: float = 20.0
    box_shift: Literal["either", "outwards"] = "either"
    tight_boxes: float = 0.4
    centre_clicks: float = 0.5
    part_share: float = 0.15


@dataclass(frozen=True)
class Corrections:
    """Which frames of a clip are corrected by clicks, and how; `clip_corrections` of a stage says in how many steps.

    SAM 2: 7 clicks, of which a tenth shows the object rather than an error; on the initial frames and at times on one
    more, so that 2 frames are corrected at most (`initial` true, `least` 0, `most` 2); after clicks and boxes only.

    Args:
        clicks: on each corrected frame, one after the other, each with the answer to those before fed back.
        initial: whether the initial prompted frames are corrected.
        least: fewest other frames that are corrected; how many it is, is drawn from there up to what `most` leaves.
        most: most corrected frames, initial ones among them if they are.
        after_masks: whether the later frames of an object that was shown by its mask are corrected too.
        from_truth: share of the clicks that are drawn from the whole object, whatever was answered.
        prompts: whether corrected frames are remembered as prompted ones.
    """

    clicks: int = 1
    initial: bool = False
    least: int = 1
    most: int = 1
    after_masks: bool = True
    from_truth: float = 0.0
    prompts: bool = True


@dataclass(frozen=True)
class Recipe:
    """A whole run.

    Args:
        model: a name of `trocar models`; or "tiny-random" or "tiny-sam", for tests.
        input: how pixels become the network's input, if not as the model says: "stretched", "padded" or "min-max", see
            `NetworkConfig`. The weights that are written say it too, so that it is done alike when they are used.
        weights: what the run begins with: "" for fresh weights, "published" for those that the model is published with,
            or the path of a weights file.
        seed: of the first weights and of every draw.
        steps: length of the run in optimiser steps, if `minutes` is 0.
        minutes: length of the run by the clock; then two runs do not agree to the last bit.
        workers: threads that each compute a part of a step; 1 for a GPU.
        data: name of a source ("scenes", a data set or DATASET/SPLIT) -> its share of the samples.
        scenes: how many synthetic clips are rendered ahead.
        scene_shape: of these clips.
        engine: how a step is computed, and when something is kept of it.
        validation: what the best weights are chosen by.
        plan: which frames clips show.
        memory: what clips are remembered with.
        ambiguity: soft labels at boundaries.
        semantic: learning the objects' classes.
        sampling: which case comes next.
        augment: how pictures are changed.
        parts: which parts of the network learn, and how.
    """

    model: str = "nano"
    input: Literal["", "stretched", "padded", "min-max"] = ""
    weights: str = ""
    seed: int = 0
    steps: int = 1000
    minutes: float = 0.0
    scenes: int = 1000
    scene_shape: SceneShape = field(default_factory=SceneShape)
    workers: int = 1
    data: Mapping[str, float] = field(default_factory=lambda: {"vocalfolds": 0.45, "scenes": 0.5, "nuclei": 0.05})
    engine: Engine = field(default_factory=Engine)
    validation: Validation = field(default_factory=Validation)
    optimiser: Optimiser = field(default_factory=Optimiser)
    losses: LossWeights = field(default_factory=LossWeights)
    prompts: PromptMix = field(default_factory=PromptMix)
    corrections: Corrections = field(default_factory=Corrections)
    plan: PlanSettings = field(default_factory=PlanSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    ambiguity: Ambiguity = field(default_factory=Ambiguity)
    semantic: Semantic = field(default_factory=Semantic)
    sampling: Sampling = field(default_factory=Sampling)
    augment: Augment = field(default_factory=Augment)
    parts: Parts = field(default_factory=Parts)
    stages: tuple[Stage, ...] = (Stage(),)

    def __post_init__(self) -> None:
        if not self.stages or min(stage.share for stage in self.stages) <= 0:
            raise ValueError("a recipe needs at least one stage, each with a share above 0")
        if self.steps < 1 and self.minutes <= 0:
            raise ValueError(f"a recipe runs for steps >= 1 or minutes > 0, not {self.steps} and {self.minutes}")
        tuned = (self.validation.dataset, self.validation.split)
        learned = [name.partition("/") for name, share in self.data.items() if share > 0 and name != SCENES]
        if tuned in [(name, split or self.sampling.split) for name, _, split in learned]:
            raise ValueError(f"validation.split: the recipe trains on {tuned[0]} {tuned[1]}: name another split")

    def stage_at(self, progress: float) -> tuple[int, Stage]:
        """The number and settings of the stage at `progress` (0 to 1) of the run."""
        total, reached = sum(stage.share for stage in self.stages), 0.0
        for index, stage in enumerate(self.stages):
            reached += stage.share / total
            if progress < reached:
                return index, stage
        return len(self.stages) - 1, self.stages[-1]
