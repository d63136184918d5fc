"""A run that is never corrected keeps one snapshot of each direction, and goes on from it as from all of them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.frames import Frame
from trocar.geometry import Geometry
from trocar.masks import FrameMasks
from trocar.memory import Recent, Tree
from trocar.memory.seam import MemoryPolicy
from trocar.model import Network, tiny_random
from trocar.prompts import Box
from trocar.track.session import Session, SessionOptions

FRAMES, ROWS, COLUMNS, PROMPTED = 30, 48, 64, 14


class Noise:
    """Frames of noise, each its own."""

    name, geometry, rate_hz = "noise", Geometry((ROWS, COLUMNS)), None

    def __len__(self) -> int:
        return FRAMES

    def __getitem__(self, index: int) -> Frame:
        image = np.random.default_rng(index).integers(0, 255, (ROWS, COLUMNS, 3), dtype=np.uint8)
        return Frame(index, image)


def session(network: Network, policy: MemoryPolicy, folder: Path, kept: int | None) -> Session:
    options = SessionOptions(snapshot_every=4, snapshot_folder=folder, snapshots_kept=kept)
    made = Session(network, Noise(), policy, options)
    made.add(Box(5, 5, 40, 40), frame=PROMPTED)
    return made


@pytest.mark.parametrize("taken", [9, 22])
@pytest.mark.parametrize("policy", [Recent(), Tree(lag=6)], ids=["recent", "tree"])
def test_it_goes_on_from_the_newest(tmp_path: Path, policy: MemoryPolicy, taken: int) -> None:
    """It is cut off on its way forward (9), or back (22); frame by frame it then comes to what a whole run does."""
    torch.manual_seed(3)
    network = Network(tiny_random())
    whole = list(session(network, policy, tmp_path / "whole", None).propagate("both"))
    found: dict[tuple[int, bool], FrameMasks] = {}

    def note(one: FrameMasks) -> None:
        found[one.frame, one.adds] = one

    cut = session(network, policy, tmp_path / "cut", 1)
    for one in islice(cut.propagate("both"), taken):
        note(one)
    left = sorted(path.name.partition("-")[0] for path in (tmp_path / "cut").iterdir())
    assert left in (["forward"], ["backward", "forward"])
    for one in session(network, policy, tmp_path / "cut", 1).propagate("both", resume=True):
        note(one)
    assert found.keys() == {(one.frame, one.adds) for one in whole}
    for one in whole:
        assert np.array_equal(found[one.frame, one.adds].masks[1], one.masks[1]), one.frame
