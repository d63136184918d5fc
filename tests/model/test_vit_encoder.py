"""SAM's encoder: what relative positions mean, windows that need padding, and other sizes than it was trained at."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trocar.model.config import tiny_sam
from trocar.model.vit_encoder import RelativeAttention, VitEncoder
from trocar.model.windows import join_windows, split_windows


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(4)


def attention_of(side: int) -> RelativeAttention:
    attention = RelativeAttention(8, heads=2, side=side)
    for codes in (attention.row_codes, attention.column_codes):
        torch.nn.init.normal_(codes)
    return attention


def by_hand(attention: RelativeAttention, x: Tensor) -> Tensor:
    """One query at a time: score = q . k / sqrt(c) + q . (code of the rows between) + q . (of the columns between)."""
    _, height, width, dim = x.shape
    size, out = dim // attention.heads, torch.empty_like(x)
    parts = attention.qkv(x[0]).reshape(height, width, 3, attention.heads, size)
    for r in range(height):
        for c in range(width):
            mixed = []
            for head in range(attention.heads):
                q, k, v = parts[r, c, 0, head], parts[:, :, 1, head], parts[:, :, 2, head]
                scores = (k @ q) / size**0.5
                for i in range(height):
                    for j in range(width):
                        scores[i, j] += q @ attention.row_codes[r - i + height - 1]
                        scores[i, j] += q @ attention.column_codes[c - j + width - 1]
                weights = scores.flatten().softmax(0)
                mixed.append(weights @ v.flatten(0, 1))
            out[0, r, c] = attention.proj(torch.cat(mixed))
    return out


@torch.no_grad()
def test_relative_attention_by_hand() -> None:
    attention, x = attention_of(3), torch.randn(1, 3, 3, 8)
    torch.testing.assert_close(attention(x), by_hand(attention, x), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_without_codes_only_what_is_seen_counts() -> None:
    """With codes of zero, shuffling the cells shuffles the result."""
    attention, x = RelativeAttention(8, heads=2, side=3), torch.randn(1, 3, 3, 8)
    order = torch.randperm(9)
    shuffled = attention(x.flatten(1, 2)[:, order].unflatten(1, (3, 3))).flatten(1, 2)
    torch.testing.assert_close(shuffled, attention(x).flatten(1, 2)[:, order])


@torch.no_grad()
def test_codes_of_another_size_are_resized_along_their_line() -> None:
    """Five codes on a line, read off in the middle of its thirds: 1/3, 2 and 11/3 steps from the start."""
    trained = attention_of(3)
    smaller = RelativeAttention(8, heads=2, side=2)
    smaller.load_state_dict({name: t for name, t in trained.state_dict().items() if "codes" not in name}, strict=False)
    for name in ("row_codes", "column_codes"):
        line = getattr(trained, name)
        line.copy_(line[0] + torch.arange(5)[:, None] * (line[4] - line[0]) / 4)
        step = line[1] - line[0]
        getattr(smaller, name).copy_(line[0] + torch.tensor([[1 / 3], [2], [11 / 3]]) * step)
    x = torch.randn(2, 2, 2, 8)
    torch.testing.assert_close(trained(x), smaller(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "window"), [(6, 6, 4), (8, 4, 4), (5, 7, 3), (2, 2, 14)])
def test_windows_go_there_and_back(height: int, width: int, window: int) -> None:
    x = torch.randn(2, height, width, 3)
    cut = split_windows(x, window)
    assert cut.shape == (2 * -(-height // window) * -(-width // window), window, window, 3)
    rows, columns = min(window, height), min(window, width)
    assert torch.equal(cut[0, :rows, :columns], x[0, :rows, :columns])
    assert torch.equal(join_windows(cut, 2, height, width), x)


@torch.no_grad()
@pytest.mark.parametrize("side", [96, 64, 160])
def test_one_map_of_stride_16_at_any_size(side: int) -> None:
    encoder = VitEncoder(tiny_sam())
    maps = encoder(torch.randn(2, 3, side, side))
    assert maps.shape == (2, 64, side // 16, side // 16)
    assert torch.isfinite(maps).all()


@torch.no_grad()
def test_windows_see_nothing_of_each_other_and_the_global_block_sees_all() -> None:
    """A change in the upper left window of 4 x 4 cells reaches the far corner through block 1 alone."""
    encoder = VitEncoder(tiny_sam())
    x = torch.randn(1, 6, 6, 48)
    other = x.clone()
    other[:, 0, 0] += 1
    for number, reaches in ((0, False), (1, True), (2, False)):
        block = encoder.blocks[number]
        assert bool((block(x)[0, 5, 5] != block(other)[0, 5, 5]).any()) is reaches
