"""A tiny video encoder, a task whose clips are told by their brightness, and a recognizer whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from trocar.model.video_encoder import VideoEncoder, VideoEncoderConfig, make_video_encoder
from trocar.recognition.heads import HeadConfig, make_head
from trocar.recognition.recognizer import Question, Recognizer
from trocar.recognition.tasks import Choose, Task
from trocar.recognition.views import Frames

CONFIG = VideoEncoderConfig("videomae", width=48, depth=2, heads=4, side=32, frames=4, patch=8, tubelet=2, name="tiny")


def tiny_encoder(seed: int = 0) -> VideoEncoder:
    torch.manual_seed(seed)
    return make_video_encoder(CONFIG).eval()


def tiny_recognizer(seed: int = 0, classes: tuple[str, ...] = ("dark", "bright")) -> Recognizer:
    head = HeadConfig("attentive", CONFIG.width, len(classes))
    encoder = tiny_encoder(seed)
    return Recognizer(encoder, make_head(head), head, Question("made-up", "robotic", classes, 1)).eval()


@dataclass
class Clips:
    """Clips of one grey level each, dark ones and bright ones by turns, and how often each was asked for."""

    counts: dict[str, int]
    asked: list[tuple[str, int]] = field(default_factory=list)

    def task(self, name: str = "made-up") -> Task:
        labels = {part: np.arange(count, dtype=np.int64) % 2 for part, count in self.counts.items()}
        keys = {part: tuple(f"{part} {n}" for n in range(count)) for part, count in self.counts.items()}
        return Task(name, "robotic", "level", ("dark", "bright"), labels, keys, self.pixels, "made up")

    def pixels(self, part: str, index: int, choose: Choose) -> Frames:
        self.asked.append((part, index))
        rng = np.random.default_rng([len(part), index])
        clip = rng.integers(60, size=(CONFIG.frames, 32, 32, 3)) + 150 * (index % 2)
        return clip.astype(np.uint8)[choose(CONFIG.frames)]


class Level(nn.Module):
    """An encoder whose token is how bright the frame in the middle of a clip is."""

    def __init__(self) -> None:
        super().__init__()
        self.config = CONFIG

    def forward(self, clips: Tensor) -> Tensor:
        return clips[:, (CONFIG.frames - 1) // 2].mean((1, 2, 3))[:, None, None]


class Threshold(nn.Module):
    """Class 1 above half brightness, class 0 below."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, tokens: Tensor) -> Tensor:
        above = self.gain * (tokens[:, 0, 0] - 0.5)
        return torch.stack((-above, above), 1)


def level_recognizer() -> Recognizer:
    """Says of a clip whether the frame in its middle is bright."""
    question = Question("level", "robotic", ("dark", "bright"), 1)
    return Recognizer(Level(), Threshold(), HeadConfig("linear", 1, 2, 1), question)  # type: ignore[arg-type]
