"""Recipes of pretraining: every setting of a run as typed data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trocar.model.video_encoder import VideoEncoderConfig
from trocar.pretrain.jepa import Prediction
from trocar.pretrain.mae import Reconstruction
from trocar.pretrain.schedule import Schedule

RENDERED, BALANCED = "rendered", "rendered-balanced"


@dataclass(frozen=True)
class Pool:
    """Clips of one kind.

    Args:
        name: such as "core", "unlabelled" or "clinical".
        share: of the draws; the shares of all pools add up to 1.
        clips: where they are: "rendered" for rendered procedures as long-tailed as a raw corpus, "rendered-balanced"
            for each procedure equally often, or the folder of a corpus that `trocar curate` wrote.
        sampled: whether only the clips are taken that `trocar curate sample` chose; otherwise all of this name's pool
            that are not excluded.
        count: of different rendered clips.
        seed: of the rendered clips; other seeds give other clips.
    """

    name: str = "unlabelled"
    share: float = 1.0
    clips: str = RENDERED
    sampled: bool = False
    count: int = 4000
    seed: int = 0


@dataclass(frozen=True)
class FrameSampling:
    """How a clip is taken out of a video.

    Args:
        by: "fps", so many frames of a second whatever the video's rate; or "stride", every so many frames.
        fps: frames a second (16 frames of every fourth at 25 a second: 6.25).
        stride: from frame to frame.
        least_crop, most_crop: side of the square that is cut out, in parts of the picture's short side, drawn evenly
            between them; one square for all frames of a clip (224 of 320 pixels: 0.7).
        flip: share of clips that are mirrored; 0 where left and right mean something.
    """

    by: Literal["fps", "stride"] = "fps"
    fps: float = 6.25
    stride: int = 4
    least_crop: float = 0.7
    most_crop: float = 0.7
    flip: float = 0.0

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.stride < 1 or not 0 < self.least_crop <= self.most_crop <= 1:
            raise ValueError(f"sampling needs fps above 0, stride >= 1 and crops in order between 0 and 1, not {self}")


@dataclass(frozen=True)
class Engine:
    """How a step is computed, and when something is kept of it.

    Args:
        parts: that a step's batch is cut into; processes share them out, and what is left over is computed one after
            the other (gradient accumulation). Nothing that is learned depends on it but JEPA's masks, whose sets get
            one length in each part.
        recompute: forget the activations inside blocks and compute them again for the gradients (gradient
            checkpointing): less memory, one more forward pass.
        loaders: threads that read clips ahead.
        save_seconds: a checkpoint is written when so much time has passed since the last one.
        save_steps: and after every so many steps; 0 for by the clock alone.
        log_steps: a line of the log stands for so many steps.
        watch_steps: how often collapse and leaks are looked for; 0 for never.
    """

    parts: int = 1
    recompute: bool = False
    loaders: int = 2
    save_seconds: float = 600.0
    save_steps: int = 0
    log_steps: int = 20
    watch_steps: int = 100

    def __post_init__(self) -> None:
        if min(self.parts, self.loaders, self.log_steps) < 1 or min(self.save_steps, self.watch_steps) < 0:
            raise ValueError(f"engine: parts, loaders and log_steps are 1 or more, the other steps 0 or more: {self}")


@dataclass(frozen=True)
class PretrainRecipe:
    """A whole run.

    Args:
        encoder: what is trained; its family decides how: "videomae" by MAE, "vjepa2" by JEPA.
        weights: what the run begins with: "" for fresh weights, a name of a published encoder, a file that
            `trocar pretrain` wrote, or a folder of transformers. Decoder and predictor come along where a folder has
            them, and are fresh otherwise.
        seed: of the first weights and of every draw.
        steps: length of the run in optimiser steps.
        batch: clips in a step, over all processes.
        pools: the clips.
        test_videos: TOML files with the test videos of benchmarks; a clip of one of them is refused.
        sampling: how a clip is taken out of a video.
        schedule: the optimiser.
        engine: how a step is computed, and when something is kept of it.
        mae: settings of MAE.
        jepa: settings of JEPA.
    """

    encoder: VideoEncoderConfig = field(default_factory=VideoEncoderConfig)
    weights: str = ""
    seed: int = 0
    steps: int = 1000
    batch: int = 32
    pools: tuple[Pool, ...] = (Pool(),)
    test_videos: tuple[str, ...] = ()
    sampling: FrameSampling = field(default_factory=FrameSampling)
    schedule: Schedule = field(default_factory=Schedule)
    engine: Engine = field(default_factory=Engine)
    mae: Reconstruction = field(default_factory=Reconstruction)
    jepa: Prediction = field(default_factory=Prediction)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ValueError(f"a recipe needs steps and batch of 1 or more, not {self.steps} and {self.batch}")
        if self.batch % self.engine.parts:
            raise ValueError(
                f"a batch of {self.batch} cannot be cut into {self.engine.parts} parts: choose numbers that divide"
            )
        names = [pool.name for pool in self.pools]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"pools need names of their own, not {', '.join(names) or 'none at all'}")
        if self.encoder.family == "frames":
            raise ValueError("encoders of single frames are not pretrained here: choose 'videomae' or 'vjepa2'")
