"""Memory attention against its definition, written out with a loop over memories and the attention of the paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from trocar.model import MemoryTokens, Network, rows, tiny_random
from trocar.model.memory_attention import QUERIES_AT_ONCE, RotaryAttention, _normal_softmax
from trocar.model.position import rotary_table, rotate, sine_map

SIDE = 12  # cells: more than one block of queries, and not a whole number of them


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    made = Network(replace(tiny_random(), memory_layers=2, num_long_term_slots=2, pointer_time_code=False)).eval()
    for name, weight in made.memory_attention.named_parameters():
        if name.endswith("bias"):  # zero in fresh networks, so that a forgotten one would not show
            torch.nn.init.normal_(weight, std=0.3)
    return made


def tokens(network: Network, maps: Tensor, gain: Tensor | None) -> MemoryTokens:
    """Two rows of three memories: slots of every kind, two pointers."""
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(2, 2, network.config.hidden_dim, generator=generator)
    memories = [[network.project_memory(one) for one in row] for row in maps]
    slot = torch.tensor([[6, 0, -1], [8, 3, 3]])
    return MemoryTokens(memories, slot, gain, vectors, torch.zeros(2, 2), torch.tensor([[1.0, 0.5], [2.0, 1.0]]))


def attention(layer: RotaryAttention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return layer.out_proj((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v)


def by_definition(network: Network, stride16: Tensor, maps: Tensor, memory: MemoryTokens) -> Tensor:
    """Gain times (memory + place + time) is the key and memory the value; the keys of cells are turned."""
    part, config = network.memory_attention, network.config
    table = rotary_table(config.hidden_dim, SIDE, SIDE, stride16.device)
    place = sine_map(config.memory_dim, SIDE, SIDE, stride16.device).flatten(1).T
    assert part.long_term_codes is not None
    codes = torch.cat((part.slot_codes, part.long_term_codes, torch.zeros(1, config.memory_dim)))
    out = []
    for r, feature in enumerate(stride16):
        cells = [one.flatten(1).T for one in maps[r]]
        gains = torch.ones(len(cells)) if memory.key_gain is None else memory.key_gain[r]
        free = memory.pointers[r].reshape(-1, config.memory_dim)
        free_keys = (memory.pointers[r] * memory.pointer_gain[r][:, None]).reshape(-1, config.memory_dim)
        keys = [
            (one + place + codes[slot]) * gain for one, slot, gain in zip(cells, memory.slot[r], gains, strict=True)
        ]
        x = (feature + 0.1 * sine_map(config.hidden_dim, SIDE, SIDE, stride16.device)).flatten(1).T
        for layer in part.layers:
            own, other, normed = layer.self_attention, layer.cross_attention, layer.norm1(x)
            q, k = rotate(own.q_proj(normed), table), rotate(own.k_proj(normed), table)
            x = x + attention(own, q, k, own.v_proj(normed))
            k = torch.cat([*(rotate(other.k_proj(key), table) for key in keys), other.k_proj(free_keys)])
            v = other.v_proj(torch.cat([*cells, free]))
            x = x + attention(other, rotate(other.q_proj(layer.norm2(x)), table), k, v)
            x = x + layer.linear2(layer.linear1(layer.norm3(x)).relu())
        out.append(part.norm(x).T.unflatten(1, (SIDE, SIDE)))
    return torch.stack(out)


@pytest.mark.parametrize("gain", [None, [[1.0, 0.7, 1.3], [0.0, 1.0, 2.0]]])
@pytest.mark.parametrize("way", ["gradients", "together", "row by row"])
def test_it_is_what_the_paper_says(
    network: Network, gain: list[list[float]] | None, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gradients by the fused kernel, without them by blocks of queries, of large rows one after the other."""
    assert SIDE * SIDE > QUERIES_AT_ONCE
    if way == "row by row":
        monkeypatch.setattr(rows, "LARGE", 0)
    torch.manual_seed(2)
    stride16 = torch.randn(2, network.config.hidden_dim, SIDE, SIDE)
    maps = torch.randn(2, 3, network.config.memory_dim, SIDE, SIDE)
    with torch.set_grad_enabled(way == "gradients"):
        memory = tokens(network, maps, None if gain is None else torch.tensor(gain))
        expected = by_definition(network, stride16, maps, memory)
        torch.testing.assert_close(network.attend(stride16, memory), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("large", [rows.LARGE, 0], ids=["together", "row by row"])
@torch.no_grad()
def test_one_image_is_enough_for_rows_that_share_it(
    network: Network, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LARGE", large)
    stride16 = torch.randn(1, network.config.hidden_dim, SIDE, SIDE)
    memory = tokens(network, torch.randn(2, 3, network.config.memory_dim, SIDE, SIDE), None)
    shared, each = network.attend(stride16, memory), network.attend(stride16.expand(2, -1, -1, -1), memory)
    torch.testing.assert_close(shared, each, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_gains_of_one_are_no_gains_to_the_last_bit(network: Network) -> None:
    stride16 = torch.randn(1, network.config.hidden_dim, SIDE, SIDE)
    memory = tokens(network, torch.randn(2, 3, network.config.memory_dim, SIDE, SIDE), None)
    assert torch.equal(
        network.attend(stride16, memory), network.attend(stride16, replace(memory, key_gain=torch.ones(2, 3)))
    )


@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize("gradients", [True, False])
def test_an_averaged_memory_is_as_many_equal_cells_at_each_centre(network: Network, side: int, gradients: bool) -> None:
    """Blocks of 2 x 2 cells, with what is left over at the far edges: a token of n cells is read as n equal tokens.

    Each of them is the mean of its cells and of their places, turned by their mean coordinates.
    """
    torch.manual_seed(4)
    part, config = network.memory_attention, network.config
    stride16, spatial = torch.randn(1, config.hidden_dim, side, side), torch.randn(config.memory_dim, side, side)
    placed = spatial + sine_map(config.memory_dim, side, side, spatial.device)
    rate = 10000 ** -(torch.arange(0, config.hidden_dim, 4) / config.hidden_dim)
    values, places, centres = [], [], []
    for y in range(0, side, 2):
        for x in range(0, side, 2):
            block = (slice(None), slice(y, y + 2), slice(x, x + 2))
            cells = spatial[block].flatten(1)
            values += [cells.mean(dim=1)] * cells.shape[1]
            places += [placed[block].flatten(1).mean(dim=1)] * cells.shape[1]
            centre = [(start + min(start + 2, side) - 1) / 2 for start in (x, y)]
            centres += [torch.cat([place * rate for place in centre])] * cells.shape[1]
    angles = torch.stack(centres)
    table = torch.polar(torch.ones_like(angles), angles)
    plain = rotary_table(config.hidden_dim, side, side, spatial.device)
    vectors = torch.randn(1, 1, config.hidden_dim)
    free = vectors.reshape(-1, config.memory_dim)
    x = (stride16[0] + 0.1 * sine_map(config.hidden_dim, side, side, spatial.device)).flatten(1).T
    with torch.set_grad_enabled(gradients):
        for layer in part.layers:
            own, other, normed = layer.self_attention, layer.cross_attention, layer.norm1(x)
            q, k = rotate(own.q_proj(normed), plain), rotate(own.k_proj(normed), plain)
            x = x + attention(own, q, k, own.v_proj(normed))
            k = torch.cat((rotate(other.k_proj(torch.stack(places) + part.slot_codes[2]), table), other.k_proj(free)))
            v = other.v_proj(torch.cat((torch.stack(values), free)))
            x = x + attention(other, rotate(other.q_proj(layer.norm2(x)), plain), k, v)
            x = x + layer.linear2(layer.linear1(layer.norm3(x)).relu())
        expected = part.norm(x).T.unflatten(1, (side, side))
        ones = torch.ones(1, 1)
        memory = MemoryTokens([[network.project_memory(spatial, 2)]], torch.tensor([[2]]), None, vectors, ones, ones)
        torch.testing.assert_close(network.attend(stride16, memory)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gain", [None, torch.tensor([[1.0, 0.7, 1.3], [0.0, 1.0, 2.0]])])
def test_averaged_and_whole_memories_go_together(network: Network, gain: Tensor | None) -> None:
    """Rows that have as many tokens in another order are read as if each were alone, with gradients and without."""
    torch.manual_seed(5)
    stride16 = torch.randn(1, network.config.hidden_dim, SIDE, SIDE)
    maps = torch.randn(2, 3, network.config.memory_dim, SIDE, SIDE)
    plain = tokens(network, maps, gain)
    blocks = ((1, 2, 2), (2, 2, 1))
    found = []
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            spatial = [
                [network.project_memory(one, block) for one, block in zip(row, sides, strict=True)]
                for row, sides in zip(maps, blocks, strict=True)
            ]
            memory = replace(plain, spatial=spatial)
            both = network.attend(stride16, memory)
            for row in range(2):
                parts = {name: value[row : row + 1] for name, value in vars(memory).items() if value is not None}
                alone = network.attend(stride16, replace(memory, **parts))
                torch.testing.assert_close(both[row], alone[0], rtol=1e-4, atol=1e-5)
            found.append(both.detach())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_no_weight_is_too_small_for_a_normal_number() -> None:
    torch.manual_seed(0)
    scores = 40 * torch.randn(16, 500)
    exact = scores.double().softmax(dim=-1)
    weights = _normal_softmax(scores.clone())
    plain = scores.softmax(dim=-1)
    smallest = torch.finfo(torch.float32).tiny
    assert bool(((plain > 0) & (plain < smallest)).any())  # which is what made attention slow
    assert weights.min() > smallest
    torch.testing.assert_close(weights.double(), exact, atol=1e-24, rtol=1e-6)
