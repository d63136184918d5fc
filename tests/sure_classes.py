"""An untrained class model that is sure of one class and sees nothing of the other, and frames for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from trocar.classprompt import ClassModel, ClassPromptConfig
from trocar.classprompt.presence import EVIDENCE
from trocar.model.checkpoint import open_network

NOTHING = (0.0,) * len(EVIDENCE)
ALWAYS, NEVER = (9.0, *NOTHING), (-9.0, *NOTHING)
FRAMES = 8


def save_sure_classes(path: Path, network: Path) -> Path:
    """The class model's file, for a network's features; its classes are hook, which is always there, and grasper."""
    torch.manual_seed(1)
    opened = open_network(network)
    config = ClassPromptConfig(("hook", "grasper"), opened.config.hidden_dim, 16, 64, presence=(ALWAYS, NEVER))
    model = ClassModel(config, opened)
    with torch.no_grad():
        last = model.decoder.iou_head.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.fill_(3.0)  # predicted IoU near 1
    model.save(path, dtype=torch.float32)
    return path


def save_frames(folder: Path) -> Path:
    """A bright rectangle that wanders over noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for frame in range(FRAMES):
        image = rng.integers(60, 120, (48, 64, 3)).astype(np.uint8)
        image[10:30, 10 + frame : 34 + frame] = (220, 200, 180)
        Image.fromarray(image).save(folder / f"{frame:03d}.png")
    return folder
