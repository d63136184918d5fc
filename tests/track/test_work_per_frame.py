"""What a frame asks of the processor once memory is full, counted and not timed: what is shared, copied and kept."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from trocar.bench.work import Work, count_work
from trocar.frames import ArraySource
from trocar.load import load_memory
from trocar.memory import MemoryPolicy, Recent
from trocar.model import Network, tiny_random
from trocar.model.image_encoder import CELLS_AT_ONCE
from trocar.prompts import Box
from trocar.track.propagation import Propagation
from trocar.track.session import Session, SessionOptions

SIDE, SETTLED, LATER = 64, 18, 32
CELLS = (SIDE // 16) ** 2


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(replace(tiny_random(), memory_layers=2)).eval()


def frames(network: Network, objects: int, memory: MemoryPolicy | None = None, ahead: bool = False) -> Propagation:
    images = np.random.default_rng(0).integers(0, 255, (LATER + 1, SIDE, SIDE, 3), dtype=np.uint8)
    session = Session(network, ArraySource(images), memory or Recent(window=3), SessionOptions(ahead=ahead))
    for number in range(objects):
        session.add(Box(5 + number, 5, 40, 40), object_id=number + 1)
    return session.propagate()


@pytest.fixture(scope="module")
def work(network: Network) -> dict[int, Work]:
    """Of one frame, by the number of objects."""
    counted = {}
    for objects in (1, 2, 4):
        going = frames(network, objects)
        for _ in range(4):  # its windows are short, and pointers are no more rows
            next(going)
        counted[objects], _ = count_work(lambda: next(going))  # noqa: B023
    return counted


@pytest.fixture(scope="module")
def encoding(network: Network) -> Work:
    network.eval()
    with torch.inference_mode():
        network.encode_image(torch.zeros(1, 3, SIDE, SIDE))
    return count_work(lambda: network.encode_image(torch.zeros(1, 3, SIDE, SIDE)))[0]


def test_objects_share_the_encoder_and_the_first_look_of_a_frame_at_itself(
    network: Network, work: dict[int, Work], encoding: Work
) -> None:
    """Self-attention of the first layer: four projections, scores and averages; queries for the memories; and what the
    new memories are made of beside masks.
    """
    width = network.config.hidden_dim
    first_look = 4 * 2 * CELLS * width**2 + 2 * 2 * CELLS**2 * width
    queries = remembered = 2 * CELLS * width**2
    own = work[2].operations - work[1].operations
    assert work[1].operations - own == encoding.operations + first_look + queries + remembered
    assert work[4].operations == work[1].operations + 3 * own


def test_objects_go_through_the_network_together(work: dict[int, Work]) -> None:
    for name in ("aten.addmm", "aten._scaled_dot_product_flash_attention_for_cpu", "aten.convolution"):
        assert work[4].calls[name] <= work[1].calls[name]
        assert work[1].calls[name] > 0


def test_tables_are_made_once_and_windows_are_moved_seldom(encoding: Work, work: dict[int, Work]) -> None:
    assert encoding.calls["aten.convolution"] == 1
    assert encoding.calls["aten._unsafe_index"] + encoding.calls["aten.upsample_bicubic2d"] == 0
    assert encoding.calls["aten.sin"] + encoding.calls["aten.cos"] == 0
    # Cut after stage 0; put together and cut again for stage 2; put together around global attention and for each of
    # the three maps: never inside a stage whose blocks have the same windows.
    moved = Counter({name: encoding.calls[f"aten.{name}"] for name in ("clone", "copy_", "cat", "constant_pad_nd")})
    assert moved.total() <= 7, moved
    # The place of the one point that tracking gives, and the time of the pointers; not the grid of the decoder.
    assert work[1].calls["aten.sin"] <= 2


def test_linear_layers_bring_their_activation_and_sum_with_them(encoding: Work) -> None:
    """No more than in place where layers are small; residual paths make no further map."""
    blocks = sum(tiny_random().blocks)
    assert encoding.calls["aten.native_layer_norm"] == encoding.calls["aten.add_"] == 2 * blocks
    assert encoding.calls["aten.gelu_"] == blocks - 1  # the first block's is large enough to come with its layer
    assert encoding.calls["aten.gelu"] == 0
    assert encoding.calls["aten.add"] == 2  # the positions, and the coarser map that joins the finer one


def test_large_linear_layers_are_one_operator() -> None:
    torch.manual_seed(0)
    network = Network(replace(tiny_random(), embed_dim=48)).eval()
    images = torch.zeros(4, 3, 256, 256)
    with torch.inference_mode():
        network.encode_image(images)
    calls = count_work(lambda: network.encode_image(images))[0].calls
    # Stage 0 goes through its block in pieces, each of four layers: attention in and out, MLP in and out.
    pieces = 4 * 64**2 // CELLS_AT_ONCE
    assert calls["mkldnn._linear_pointwise"] >= pieces


@pytest.mark.parametrize(("memory", "ahead"), [("recent", False), ("recent", True)])
def test_a_settled_frame_keeps_nothing(network: Network, memory: str, ahead: bool) -> None:
    going = frames(network, 2, load_memory(memory), ahead)

    def alive() -> tuple[int, int]:
        gc.collect()
        found = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]
        return len(found), sum(one.numel() * one.element_size() for one in found)

    for _ in range(SETTLED):
        next(going)
    early, early_work = alive(), None if ahead else count_work(lambda: next(going))[0].calls
    for _ in range(LATER - SETTLED - 2):
        next(going)
    late_work = None if ahead else count_work(lambda: next(going))[0].calls
    assert alive() == early
    assert late_work == early_work
