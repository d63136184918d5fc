"""Memories stay projected from frame to frame: the same masks for less work, and nothing that outlives its use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from trocar.frames import ArraySource
from trocar.memory import Recent
from trocar.model import Network, ProjectedMemory, tiny_random
from trocar.prompts import Box
from trocar.track import rows
from trocar.track.entries import StepSettings
from trocar.track.features import Features
from trocar.track.order import Pass
from trocar.track.propagate import propagate
from trocar.track.session import Session

FRAMES = 15


class CountingNetwork(Network):
    """Notes which memories were projected."""

    def project_memory(self, spatial: Tensor, block: int = 1) -> ProjectedMemory:
        self.projected = [*getattr(self, "projected", []), spatial]
        return super().project_memory(spatial, block)


@pytest.fixture
def session() -> Iterator[Session]:
    torch.manual_seed(3)
    images = np.random.default_rng(0).integers(0, 255, (FRAMES, 64, 64, 3), dtype=np.uint8)
    made = Session(CountingNetwork(replace(tiny_random(), memory_layers=2)), ArraySource(images), Recent(window=3))
    made.add(Box(10, 10, 40, 40), object_id=1)
    made.add(Box(20, 30, 60, 50), object_id=2)
    yield made
    made.close()


def run(session: Session) -> list[Tensor]:
    """The logits of both objects on all frames."""
    return [
        session.tracks[name].entries[max(session.tracks[name].entries)].logits
        for _ in session.propagate()
        for name in (1, 2)
    ]


def test_each_memory_is_projected_once_and_masks_do_not_change(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, network = run(session), session._network
    # The prompts' two, and all that was tracked but on the last frame, which nobody reads.
    assert len(network.projected) == 2 + 2 * (FRAMES - 2)
    network.projected.clear()
    monkeypatch.setattr(rows, "KEPT_CELLS", 0)
    anew = run(session)
    assert len(network.projected) == 2 * sum(1 + min(seen, 3) for seen in range(FRAMES - 1))
    assert all(torch.equal(one, other) for one, other in zip(kept, anew, strict=True))


def test_only_what_was_read_last_is_kept_and_none_of_it_written(session: Session) -> None:
    run(session)
    for track in session.tracks.values():
        assert [name for name, _ in track.projected] == [0, FRAMES - 4, FRAMES - 3, FRAMES - 2]  # one entry a frame
        assert set(track.state()) == {"policy", "entries", "lineage"}
        assert track.fork().projected == {}


def test_nothing_is_kept_where_gradients_are_wanted(session: Session) -> None:
    """Neither taken from a run without them, nor kept for one."""
    run(session)
    network, tracks = session._network, session.tracks
    old, stretch = set(tracks[1].projected), Pass("forward", 0, FRAMES - 1)
    assert old
    for track in tracks.values():
        for frame, entry in track.prompted.items():  # what was made in inference mode cannot take part
            track.prompted[frame] = replace(entry, spatial=entry.spatial.clone(), pointer=entry.pointer.clone())
        track.begin(Recent(window=3), stretch.visit(0))
    features = Features(network, session.source, 64)
    loop = propagate(network, features, tracks, stretch, StepSettings())
    for _ in range(3):
        _, outcomes = next(loop)
    assert all(track.projected == {} for track in tracks.values())
    outcomes[0].decoded.masks.sum().backward()
    weight = network.memory_attention.layers[0].cross_attention.k_proj.weight
    assert weight.grad is not None
    assert bool((weight.grad != 0).any())
