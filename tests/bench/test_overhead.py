"""Overhead is measured beside `recent`, on the same frames; a policy that is slow on purpose shows where it is slow."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

from trocar.bench.overhead import OverheadOptions, measure_overhead
from trocar.frames import ArraySource
from trocar.memory import POLICIES, Pruned, Recent
from trocar.memory.seam import FrameView, ReadPlan, Visit
from trocar.model import Network, tiny_random

NAP = 0.004


class Slow(Recent):
    """Reads what SAM 2 reads, twice over, and takes its time."""

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        time.sleep(NAP)
        return super().read(visit, query) * 2


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random()).eval()


@pytest.fixture
def source() -> ArraySource:
    return ArraySource(np.random.default_rng(0).integers(0, 255, (7, 40, 56, 3), dtype=np.uint8))


def test_every_policy_of_the_table_is_measured_and_json_takes_it(network: Network, source: ArraySource) -> None:
    done: list[int] = []
    figures = measure_overhead(network, source, OverheadOptions(frames=4, warm_up=1), done.append)
    assert json.loads(json.dumps(figures)) == figures
    assert set(figures["policies"]) == set(POLICIES)
    assert done == list(range(1, 7))
    recent = figures["policies"]["recent"]
    assert recent["step_over_recent_ms"] == {"median": 0.0, "q25": 0.0, "q75": 0.0}
    assert recent["frame_over_recent"] == {"median": 1.0, "q25": 1.0, "q75": 1.0}


def test_a_policy_s_own_time_and_the_network_s_are_told_apart(network: Network, source: ArraySource) -> None:
    figures = measure_overhead(network, source, OverheadOptions({"slow": Slow()}, frames=8, warm_up=2))
    slow, recent = figures["policies"]["slow"], figures["policies"]["recent"]
    assert slow["policy_ms"]["median"] >= NAP * 1000
    assert recent["policy_ms"]["median"] < NAP * 1000
    assert slow["step_over_recent_ms"]["median"] > 0
    assert slow["frame_over_recent"]["median"] > 1
    assert slow["network_ms"]["q25"] > 0
    assert (slow["hypotheses"], recent["hypotheses"]) == (2, 1)


def test_what_is_read_is_counted(network: Network, source: ArraySource) -> None:
    """With full windows: the prompt and six frames, of which pruning leaves five; 15 pointers and the prompt's."""
    figures = measure_overhead(network, source, OverheadOptions({"pruned": Pruned()}, frames=4, warm_up=20))
    found = {name: (one["spatial"], one["pointers"]) for name, one in figures["policies"].items()}
    assert found == {"recent": (7, 16), "pruned": (5, 16)}


def test_nothing_to_measure_is_refused(network: Network, source: ArraySource) -> None:
    with pytest.raises(ValueError, match="frames >= 1"):
        measure_overhead(network, source, OverheadOptions(frames=0))
