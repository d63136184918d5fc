"""What `count_work` counts, against sums by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trocar.bench.work import count_work
from trocar.model import rows
from trocar.model.layers import linear


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_a_linear_layer(mode: type[torch.no_grad]) -> None:
    """Two operations for each of 5 x 7 x 3 products; the input, the weights, the bias and the result move."""
    layer, x = nn.Linear(3, 7), torch.randn(5, 3)
    with mode():
        work, made = count_work(lambda: layer(x))
    assert torch.equal(made, layer(x))
    assert work.operations == 2 * 5 * 7 * 3
    assert work.bytes == 4 * (15 + 21 + 7 + 35)


def test_a_fused_linear_layer_asks_for_the_same() -> None:
    layer, x = nn.Linear(16, 32), torch.randn(2, 9, 16)
    with torch.inference_mode():
        work, _ = count_work(lambda: linear(layer, x, "gelu"))
    assert work.operations == 2 * 2 * 9 * 16 * 32


def test_attention_and_convolution() -> None:
    """Attention: queries by keys and weights by values. Convolution: kernel by outputs."""
    query, key = torch.randn(1, 2, 6, 8), torch.randn(1, 2, 10, 8)
    with torch.inference_mode():
        attended, _ = count_work(lambda: F.scaled_dot_product_attention(query, key, key))
        convolved, _ = count_work(lambda: F.conv2d(torch.randn(1, 4, 8, 8), torch.randn(6, 4, 3, 3)))
    assert attended.operations == 2 * (2 * 2 * 6 * 10 * 8)
    assert convolved.operations == 2 * (6 * 6) * 6 * (4 * 3 * 3)


def test_views_are_free_and_copies_are_not() -> None:
    x = torch.randn(4, 6)
    with torch.inference_mode():
        views, _ = count_work(lambda: x.t()[1:].unsqueeze(0).expand(3, -1, -1))
        copied, _ = count_work(lambda: x.t().contiguous())
        added, _ = count_work(lambda: x.add_(1))
    assert (views.operations, views.bytes) == (0, 0)
    assert copied.bytes == 2 * x.numel() * 4
    assert added.bytes == 2 * x.numel() * 4


def test_rows_that_would_go_to_other_threads_are_counted() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    one, other = torch.zeros(8, 8), torch.zeros(8, 8)
    work, _ = count_work(lambda: rows.by_row(lambda row: one @ other, 3))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert work.operations == 3 * 2 * 8**3
