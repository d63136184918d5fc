"""What is scored of prompts, by hand on a clip in which nothing moves."""

from __future__ import annotations

import numpy as np
import torch

from trocar.datasets import Clip
from trocar.model import Network, tiny_random
from trocar.promptable import first_frames, object_frames, score_images


def still_clip() -> Clip:
    """Object 1 from frame 0 on (12 x 10 px), object 2 from frame 2 on (20 x 6 px), object 3 too small to count."""
    labels = np.zeros((5, 40, 48), np.uint8)
    labels[:, 4:14, 6:18] = 1
    labels[2:, 30:36, 20:40] = 2
    labels[:, 0:3, 0:3] = 3
    images = np.repeat((labels * 60)[..., None], 3, axis=3) + np.uint8(20)
    return Clip("still", images, labels, {1: "a", 2: "b", 3: "c"})


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
