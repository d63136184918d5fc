"""Recipes of recognition: which tasks, which encoder, which way of training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from trocar.model.video_encoder import VideoEncoderConfig
from trocar.recognition.fine_tune import FullTraining
from trocar.recognition.probe import ProbeTraining
from trocar.recognition.tasks import RenderedClips, task_names
from trocar.settings import to_toml


@dataclass(frozen=True)
class RecognitionRecipe:
    """A benchmark of one encoder.

    Args:
        tasks: names of recognition sets, "rendered" for all rendered tasks, "rendered/DOMAIN" or one of them.
        encoder: a weights file, a folder of transformers or a name of the table of video encoders; left out, an
            encoder with fresh weights as `fresh` says.
        method: "linear" and "attentive" train a head on the frozen encoder, "full" trains both.
        seeds: of the heads' first weights and the order of clips, and of a fresh encoder; one run each.
        stride: frames from one that is looked at to the next; 0 for frames spread over the clip.
        train_views: of each training clip, for frozen encoders; each pass takes one of them.
        test_views: of each test clip, whose answers are averaged.
        heads: of the attentive head.
    """

    tasks: tuple[str, ...]
    encoder: str = ""
    method: Literal["linear", "attentive", "full"] = "attentive"
    seeds: tuple[int, ...] = (0, 1, 2)
    stride: int = 4
    train_views: int = 2
    test_views: int = 1
    heads: int = 4
    rendered: RenderedClips = field(default_factory=RenderedClips)
    fresh: VideoEncoderConfig = field(default_factory=VideoEncoderConfig)
    probe: ProbeTraining = field(default_factory=ProbeTraining)
    full: FullTraining = field(default_factory=FullTraining)

    def __post_init__(self) -> None:
        if not self.tasks or not self.seeds or min(self.train_views, self.test_views) < 1 or self.stride < 0:
            raise ValueError("a recipe needs a task, a seed, 1 view or more, and a stride of 0 or more")
        self.task_names()

    def task_names(self) -> list[str]:
        """Every task, once.

        Raises:
            ValueError: there is no such task.
        """
        return list(dict.fromkeys(name for asked in self.tasks for name in task_names(asked)))

    def digest(self, said: Sequence[str] = ()) -> str:
        """Of everything that a task's figures depend on, whichever other tasks and seeds are asked for."""
        text = to_toml(replace(self, tasks=("rendered",), seeds=(0,), encoder=""))
        return hashlib.sha256("\n".join([text, *said]).encode()).hexdigest()
