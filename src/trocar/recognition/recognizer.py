"""Recognizer: an encoder, a head and the names of its classes, in one file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trocar.model.checkpoint import WeightsError, read_head
from trocar.model.video_encoder import VideoEncoder, VideoEncoderConfig
from trocar.recognition.heads import HeadConfig, make_head

KIND = "trocar recognizer"


@dataclass(frozen=True)
class Question:
    """What a recognizer answers.

    Args:
        task: its name.
        domain: which kind of video it was trained on.
        classes: the answers.
        stride: frames from one that it looks at to the next; 0 for frames spread over the clip.
    """

    task: str
    domain: str
    classes: tuple[str, ...]
    stride: int


class Recognizer(nn.Module):
    """(B, T, 3, S, S) clips, colours in 0..1 -> (B, classes) logits."""

    def __init__(self, encoder: VideoEncoder, head: nn.Module, head_config: HeadConfig, question: Question) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.head_config, self.question = head_config, question

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(clips))
        return logits

    def save(self, path: Path, info: Mapping[str, str]) -> None:
        """Write all weights in float32 and what they are; the file appears whole or not at all."""
        head = {
            **info,
            "kind": KIND,
            "video_encoder": json.dumps(asdict(self.encoder.config)),
            "head": json.dumps(asdict(self.head_config)),
            "question": json.dumps(asdict(self.question)),
        }
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: one.detach().cpu().float().contiguous() for name, one in self.state_dict().items()}, part, head
        )
        part.chmod(0o644)
        os.replace(part, path)


def open_recognizer(path: Path, device: str = "cpu") -> Recognizer:
    """A recognizer with its weights, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a recognizer, or damaged.
    """
    said = read_head(path)
    if said.get("kind") != KIND:
        raise WeightsError(f"{path} is not a recognizer: `trocar bench recognition RECIPE` writes one for each task")
    config = _tuples(said["video_encoder"])
    encoder = VideoEncoder(VideoEncoderConfig(**config))
    head_config, question = HeadConfig(**_tuples(said["head"])), Question(**_tuples(said["question"]))
    recognizer = Recognizer(encoder, make_head(head_config), head_config, question)
    try:
        recognizer.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged ({str(error).splitlines()[0]}): train it again") from error
    return recognizer.to(device).eval()


def weights_digest(module: nn.Module) -> str:
    """sha256 of all weights and their names, as they are used."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tuples(text: str) -> dict[str, Any]:
    """A JSON object whose lists become tuples."""
    values: dict[str, Any] = json.loads(text)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
