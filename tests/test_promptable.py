"""What is scored of prompts, by hand on a clip in which nothing moves."""

from __future__ import annotations

import torch

from still_clip import still_clip
from trocar.model import Network, tiny_random
from trocar.promptable import first_frames, object_frames, score_images


def test_what_counts() -> None:
    clip = still_clip()
    assert [(frame, name) for frame, name, _ in object_frames(clip)] == [
        (0, 1), (1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2)
    ]  # fmt: skip
    assert first_frames(clip) == {1: 0, 2: 2}


def test_every_prompt_is_scored_on_every_object_frame() -> None:
    torch.manual_seed(0)
    network = Network(tiny_random())
    scores = score_images(network, [still_clip()])
    assert {kind: len(values) for kind, values in scores.ious.items()} == {"box": 8, "1 click": 8, "3 clicks": 8}
    assert score_images(network, [still_clip()], clicks=()).ious == {"box": scores.ious["box"]}
