"""What a CPU spares without gradients: the same numbers as the plain way, also after weights change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trocar.model import NANO, Network, layers, rows, tiny_random
from trocar.model.image_encoder import CELLS_AT_ONCE, ImageEncoder
from trocar.model.layers import ChannelNorm, linear
from trocar.model.prompt_encoder import PromptEncoder

NONE, RELU, GELU = "none", "relu", "gelu"


@pytest.mark.parametrize("then", [NONE, RELU, GELU])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("cells", [7, 1600], ids=["small", "large"])
def test_a_layer_its_activation_and_the_sum_are_what_pytorch_says(
    then: Literal["none", "relu", "gelu"], fused: bool, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_FUSED", layers._FUSED and fused)
    assert (10 * cells * 40 >= layers.LARGE) == (cells == 1600)
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 40), torch.randn(2, 5, cells, 24)
    expected = {NONE: lambda y: y, RELU: F.relu, GELU: F.gelu}[then](layer(x))
    plus = torch.randn_like(expected)
    before = plus.clone()
    with torch.no_grad():
        torch.testing.assert_close(linear(layer, x, then), expected, atol=1e-6, rtol=1e-5)
        if then == NONE:
            torch.testing.assert_close(linear(layer, x, plus=plus), expected + plus, atol=1e-6, rtol=1e-5)
    assert torch.equal(plus, before)  # a residual path may be needed again
    torch.testing.assert_close(linear(layer, x, then), expected)  # with gradients


def test_under_autocast_layers_still_compute_in_bfloat16() -> None:
    layer, x = nn.Linear(8, 8), torch.randn(3, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert linear(layer, x).dtype == torch.bfloat16


@pytest.mark.parametrize("channels", [4, layers.NARROW, layers.NARROW + 1])
def test_the_norm_of_a_cells_channels_is_what_pytorch_says(channels: int) -> None:
    torch.manual_seed(0)
    norm, x = ChannelNorm(channels), 3 + 5 * torch.randn(2, channels, 6, 7)
    for weight in norm.parameters():
        nn.init.normal_(weight)
    before = x.clone()
    with torch.no_grad():
        expected = F.layer_norm(x.permute(0, 2, 3, 1), (channels,), norm.weight, norm.bias, 1e-6)
        torch.testing.assert_close(norm(x), expected.permute(0, 3, 1, 2), atol=1e-5, rtol=1e-5)
    assert torch.equal(x, before)


@torch.no_grad()
def test_the_rows_of_a_memory_are_fused_one_by_one_or_together(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = Network(tiny_random()).eval().memory_encoder
    images, masks, present = torch.randn(1, 64, 4, 4), torch.rand(3, 1, 64, 64), torch.tensor([True, False, True])
    together = encoder(images, masks, present)
    monkeypatch.setattr(rows, "LARGE", 0)
    torch.testing.assert_close(encoder(images, masks, present), together, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder(images.expand(3, -1, -1, -1), masks, present), together, atol=1e-5, rtol=1e-5)


# Windows kept between blocks, windows that need padding in every stage, whole maps; and more cells than go in at once.
CONFIGS = {
    "kept": (tiny_random(), 64),
    "padded": (replace(tiny_random(), windows=(8, 4, 3, 5), blocks=(2, 2, 3, 2)), 96),
    "uneven": (replace(tiny_random(), windows=(8, 8, 4, 4), global_blocks=()), 160),
    "nano": (replace(NANO, embed_dim=16, hidden_dim=64), 256),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_features_do_not_depend_on_how_windows_are_moved(name: str) -> None:
    config, side = CONFIGS[name]
    torch.manual_seed(0)
    network, images = Network(config).eval(), torch.randn(2, 3, side, side)
    plain = network.encode_image(images)  # with gradients nothing is fused or cut
    with torch.no_grad():
        spared = network.encode_image(images)
    for one, other in (
        (plain.stride4, spared.stride4),
        (plain.stride8, spared.stride8),
        (plain.stride16, spared.stride16),
    ):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_the_largest_map_is_cut_in_the_test_above() -> None:
    _, side = CONFIGS["nano"]
    assert 2 * (side // 4) ** 2 > CELLS_AT_ONCE * torch.get_num_threads()


def test_kept_tables_follow_weights_however_they_change() -> None:
    torch.manual_seed(0)
    network, images = Network(tiny_random()).eval(), torch.randn(1, 3, 64, 64)
    encoder = network.image_encoder
    assert isinstance(encoder, ImageEncoder)

    def fresh() -> torch.Tensor:
        copied = copy.deepcopy(network)
        copied.image_encoder._kept_positions = layers.Kept()
        return copied.encode_image(images).stride16

    with torch.inference_mode():
        first = network.encode_image(images).stride16
    other = {name: value + 0.1 * torch.randn_like(value) for name, value in network.state_dict().items()}
    changes: list[Callable[[], object]] = [
        lambda: network.load_state_dict(other),
        lambda: encoder.position.data.mul_(3.0),
        lambda: setattr(encoder.window_position, "data", torch.randn_like(encoder.window_position.data)),
    ]
    for change in changes:
        change()
        with torch.inference_mode():
            changed = network.encode_image(images).stride16
            assert not torch.allclose(changed, first)
            assert torch.equal(changed, fresh())
        first = changed
    with torch.inference_mode():
        network.encode_image(torch.randn(1, 3, 96, 96))  # another size comes between
        assert torch.equal(network.encode_image(images).stride16, first)


def test_kept_tables_can_be_trained_with_and_are_not_saved() -> None:
    network = Network(tiny_random()).eval()
    with torch.inference_mode():
        network.encode_image(torch.zeros(1, 3, 64, 64))
    names = set(network.state_dict())
    network.encode_image(torch.zeros(1, 3, 64, 64)).stride16.sum().backward()
    encoder, prompts = network.image_encoder, network.prompt_encoder
    assert isinstance(encoder, ImageEncoder)
    assert isinstance(prompts, PromptEncoder)
    assert encoder.position.grad is not None
    assert not any("kept" in name for name in names)
    with torch.no_grad():
        kept = prompts.grid(4, 4)
        assert prompts.grid(4, 4) is kept
        assert prompts.grid(6, 6).shape[-2:] == (6, 6)
