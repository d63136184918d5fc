"""What the record of a run says about the classes of its objects."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trocar.cli.run import Output, Request, run
from trocar.formats import open_source
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.model.config import SemanticConfig
from trocar.prompts import Box, PlacedPrompt

NAMES = ("grasper", "scissors", "needle", "clip")


@pytest.mark.parametrize("head", [True, False])
def test_the_likeliest_classes_of_each_object_are_in_the_record(tmp_path: Path, head: bool) -> None:
    import cv2
    import numpy as np

    torch.manual_seed(3)
    semantic = SemanticConfig(NAMES, 8, scale=4.0, temperature=1.25)
    network = Network(replace(tiny_random(), semantic=semantic if head else None))
    if network.semantic_head is not None:
        network.semantic_head.text.copy_(torch.eye(4, 8))
    weights, frames = tmp_path / "tiny.safetensors", tmp_path / "frames"
    save_weights(network, weights, {})
    frames.mkdir()
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(frames / f"{number}.png"), image)
    prompts = [PlacedPrompt(Box(10, 10, 40, 40), 0, 7)]
    request = Request(str(frames), model=str(weights))
    run(request, open_source(str(frames)), prompts, Output(tmp_path / "out"), "cpu")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    if not head:
        assert "classes" not in record
        return
    assert (record["class_text"], record["class_temperature"]) == ("stand-in", 1.25)
    ((name, chances),) = record["classes"].items()
    assert name == "7"
    assert len(chances) == 3
    assert set(chances) < set(NAMES)
    assert list(chances.values()) == sorted(chances.values(), reverse=True)
    assert 0.5 < sum(chances.values()) <= 1
