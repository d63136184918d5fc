"""Every registered policy sits the same exam: any prompt, any direction, snapshots, bounded memory."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from trocar.frames import ArraySource
from trocar.load import load_memory
from trocar.memory import POLICIES
from trocar.model import Network, tiny_random
from trocar.prompts import Box, Point
from trocar.track.session import Session, SessionOptions

FRAMES = 48


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random())


@pytest.fixture(params=sorted(POLICIES))
def session(request: pytest.FixtureRequest, network: Network) -> Iterator[Session]:
    images = np.random.default_rng(0).integers(0, 255, (FRAMES, 40, 56, 3), dtype=np.uint8)
    made = Session(network, ArraySource(images), load_memory(request.param), SessionOptions(snapshot_every=8))
    yield made
    made.close()


def test_prompt_in_the_middle_correction_reverse_and_removal(session: Session) -> None:
    session.add(Box(5, 5, 30, 30), frame=20)
    session.add(Box(8, 2, 50, 30), frame=26, object_id=2)
    assert [masks.frame for masks in session.propagate()] == list(range(20, FRAMES))
    session.add(Point(10, 10, positive=False), frame=30)
    session.remove(2)
    assert [masks.frame for masks in session.propagate(start=30)] == list(range(30, FRAMES))
    backward = list(session.propagate("backward"))
    assert [masks.frame for masks in backward] == list(range(30, -1, -1))
    assert all(set(masks.masks) == {1} for masks in backward)


def test_replay_from_a_snapshot_gives_the_same_masks(session: Session) -> None:
    session.add(Box(5, 5, 30, 30))
    first = [masks.masks[1] for masks in session.propagate()]
    again = [masks.masks[1] for masks in session.propagate(start=21)]
    assert all(np.array_equal(a, b) for a, b in zip(first[21:], again, strict=True))


def test_memory_does_not_grow_with_the_video(session: Session) -> None:
    session.add(Box(5, 5, 30, 30))
    held = [len(session.tracks[1].entries) for _ in session.propagate()]
    assert max(held[20:]) == held[20]
