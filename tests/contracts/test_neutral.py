"""With its knobs neutralised every policy is `recent`: whole sessions are equal bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exam import Watched, assert_same, pictures

from trocar.bench.neutral import NEUTRAL, NEVER_NEUTRAL
from trocar.load import load_memory
from trocar.masks import FrameMasks
from trocar.memory import POLICIES, MemoryPolicy, Recent
from trocar.model import Network
from trocar.prompts import Box, Point

FRAMES = 30
Run = tuple[list[FrameMasks], dict[tuple[int, int], torch.Tensor]]


def run(network: Network, policy: MemoryPolicy) -> Run:
    """Two objects, both directions, a correction amid what was tracked and the run from there, fp32."""
    session = Watched(network, pictures(FRAMES), policy)
    session.add(Box(5, 5, 25, 23), frame=4)
    session.add(Box(30, 18, 50, 38), frame=9, object_id=2)
    made = list(session.propagate("both"))
    made.append(session.add(Point(40, 30), frame=20))
    made += session.propagate(start=20)
    made += session.propagate("backward")
    session.close()
    return made, session.logits


@pytest.fixture(scope="module")
def truth(network: Network) -> Run:
    return run(network, Recent())


def test_every_policy_has_its_neutral_knobs_or_a_reason() -> None:
    assert set(NEUTRAL) | set(NEVER_NEUTRAL) == set(POLICIES), "say in bench/neutral.py which knobs make it `recent`"
    assert not set(NEUTRAL) & set(NEVER_NEUTRAL)


others = pytest.mark.parametrize("name", sorted(set(NEUTRAL) - {"recent"}))


@others
def test_neutral_outputs_equal_those_of_recent_bit_for_bit(network: Network, truth: Run, name: str) -> None:
    made, logits = run(network, load_memory(name, **NEUTRAL[name]))
    assert len(logits) == 2 * FRAMES
    assert logits[1, 0].dtype == torch.float32
    assert_same(logits, truth[1])
    for found, expected in zip(made, truth[0], strict=True):
        assert (found.frame, found.scores, found.prompted) == (expected.frame, expected.scores, expected.prompted)
        assert all(np.array_equal(mask, expected.masks[one]) for one, mask in found.masks.items())


@others
def test_the_run_tells_the_policy_from_recent(network: Network, truth: Run, name: str) -> None:
    """Else the test above would show nothing: with the knobs as they are, the same run comes out otherwise."""
    _, logits = run(network, load_memory(name))
    assert any(not torch.equal(one, truth[1][at]) for at, one in logits.items())
