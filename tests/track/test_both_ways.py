"""Tracking both ways when objects begin on different frames: nobody's masks go missing on disk."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.formats import read_masks, write_masks
from trocar.frames import ArraySource
from trocar.model import Network, tiny_random
from trocar.prompts import Box
from trocar.track.session import Session

SOURCE = ArraySource(np.random.default_rng(0).integers(0, 255, (6, 40, 56, 3), dtype=np.uint8))


@pytest.mark.parametrize(("form", "name"), [("rle", "masks.json"), ("png", "masks")])
def test_objects_that_begin_apart_are_whole_on_disk(tmp_path: Path, form: str, name: str) -> None:
    torch.manual_seed(0)
    session = Session(Network(tiny_random()), SOURCE)
    session.add(Box(4, 4, 20, 20), frame=0, object_id=1)
    session.add(Box(30, 14, 50, 34), frame=3, object_id=2)
    made = list(session.propagate("both"))
    assert [(masks.frame, masks.adds) for masks in made] == [(f, False) for f in range(6)] + [
        (f, True) for f in (2, 1, 0)
    ]
    session.close()
    write_masks(tmp_path, made, SOURCE, [form])
    written = {one.frame: one.masks for one in read_masks(tmp_path / name)}
    for masks in made:
        for object_id, mask in masks.masks.items():
            others = [
                one.masks[3 - object_id] for one in made if one.frame == masks.frame and 3 - object_id in one.masks
            ]
            alone = mask & ~np.any(others, axis=0) if others else mask  # a label map cannot hold an overlap
            found = written[masks.frame].get(object_id, np.zeros_like(mask))  # a label map is silent on absent objects
            assert np.array_equal(found & alone, alone)
