"""Linear layers in 8-bit integers: exact for whole numbers, close elsewhere, saved as before, clear refusals."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from trocar.frames import ArraySource
from trocar.load import load
from trocar.model import MemoryTokens, Network, tiny_random
from trocar.model.int8 import Int8Linear, int8_scores, rounded, to_int8
from trocar.model.layers import linear
from trocar.model.memory_attention import ROUNDED_FROM
from trocar.model.precision import PRECISIONS, in_precision
from trocar.model.tensors import row_of
from trocar.prompts import Box
from trocar.track.session import Session

pytestmark = pytest.mark.skipif(
    torch.backends.quantized.engine not in ("x86", "fbgemm"), reason="this build of PyTorch has no 8-bit layers"
)


def test_whole_numbers_are_multiplied_exactly() -> None:
    """Weights that are whole multiples of their scale and activations that use the scale 1: nothing is rounded."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 8)
    layer.weight.data = torch.randint(-126, 127, (8, 64)).float()
    layer.weight.data[:, 0] = 127  # so that the scale is 1
    x = torch.randint(-100, 100, (5, 64)).float()
    x[0, 0], x[0, 1] = -128, 127  # 256 levels
    with torch.no_grad():
        torch.testing.assert_close(Int8Linear(layer)(x), layer(x), atol=1e-2, rtol=1e-5)


def test_rounding_costs_a_percent() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(256, 128), torch.randn(4, 9, 256)
    with torch.no_grad():
        exact, rounded = layer(x), Int8Linear(layer)(x)
    assert rounded.shape == exact.shape
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.02


@torch.no_grad()
def test_an_activation_may_be_part_of_the_layer() -> None:
    torch.manual_seed(0)
    layer, x = Int8Linear(nn.Linear(64, 8)), torch.randn(5, 64)
    assert torch.equal(linear(layer, x, "relu"), layer(x).relu())


def test_scores_are_close_whatever_the_lengths_of_the_vectors() -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(9, 256) * torch.logspace(-3, 3, 9)[:, None], torch.randn(33, 256)
    keys[0], queries[0] = 0, 0
    exact, found = queries @ keys.T, int8_scores(queries, *rounded(keys))
    assert torch.equal(found[0], exact[0])
    assert torch.equal(found[:, 0], exact[:, 0])
    assert bool(((found - exact)[1:].norm(dim=1) / exact[1:].norm(dim=1) < 0.02).all())


@torch.no_grad()
@pytest.mark.parametrize("width", [128, ROUNDED_FROM])
def test_what_an_object_remembers_does_not_depend_on_the_others(width: int) -> None:
    """They are computed together, but each is rounded for itself."""
    torch.manual_seed(0)
    network = in_precision(Network(replace(tiny_random(), hidden_dim=width, memory_mlp_dim=256)).eval(), "int8")
    maps = [torch.randn(network.config.memory_dim, 4, 4), 100 * torch.randn(network.config.memory_dim, 4, 4)]
    zeros, vectors = torch.zeros(2, 1), torch.randn(2, 1, width)
    memory = MemoryTokens(
        [[network.project_memory(one)] for one in maps], zeros.long(), None, vectors, zeros, torch.ones(2, 1)
    )
    image, masks, present = torch.randn(1, width, 4, 4), torch.rand(2, 1, 64, 64), torch.tensor([True, False])
    both, remembered = network.attend(image, memory), network.encode_memory(image, masks, present)
    for number in range(2):
        row = slice(number, number + 1)
        torch.testing.assert_close(network.attend(image, row_of(memory, number)), both[row], atol=1e-4, rtol=1e-4)
        own = network.encode_memory(image, masks[row], present[row])
        torch.testing.assert_close(own, remembered[row], atol=1e-4, rtol=1e-4)


def test_the_network_keeps_its_weights_and_their_names() -> None:
    torch.manual_seed(0)
    network = Network(replace(tiny_random(), embed_dim=64)).eval()
    before = copy.deepcopy(network.state_dict())
    with torch.inference_mode():
        images = torch.randn(1, 3, 64, 64)
        exact = network.encode_image(images)
        assert in_precision(network, "int8") is network
        rounded = network.encode_image(images)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert sum(isinstance(module, Int8Linear) for module in network.modules()) > 10
    assert not any(isinstance(module, Int8Linear) for module in network.mask_decoder.modules())
    assert 0 < (rounded.stride16 - exact.stride16).norm() / exact.stride16.norm() < 0.1


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(ValueError, match="no precision 'fp8': use fp32, bf16, int8"):
        load("nano", "cpu", "fp8")
    with pytest.raises(ValueError, match="int8 is for CPUs"):
        to_int8(Network(tiny_random()).to("meta"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nano_finds_the_same_in_every_precision(precision: str) -> None:
    """A bright disk on a dark ground, by its box."""
    rows, columns = np.mgrid[:128, :128]
    disk = (rows - 60) ** 2 + (columns - 70) ** 2 < 30**2
    image = np.where(disk[..., None], (220, 120, 90), (40, 60, 50)).astype(np.uint8)
    session = Session(load("nano", "cpu", precision), ArraySource(np.stack([image] * 3)))
    session.add(Box(40, 30, 101, 91))
    found = [masks.masks[1] for masks in session.propagate()][-1]
    session.close()
    assert (found & disk).sum() / (found | disk).sum() > 0.9
