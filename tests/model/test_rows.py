"""Rows of a large network: in order, several at once, with nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from trocar.model import Network, no_prompt, rows, tiny_random
from trocar.model.rows import by_row, goes_by_row
from trocar.model.tensors import CarriedMasks, PromptEmbeddings, embedded_prompt, joined, row_of


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("trocar-row")]
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("threads", "count", "each"), [(1, 3, 1), (2, 1, 2), (2, 3, 1), (4, 2, 2), (5, 2, 2), (4, 0, 4)]
)
def test_rows_keep_their_order_and_share_the_threads(threads: int, count: int, each: int) -> None:
    torch.set_num_threads(threads)
    assert by_row(lambda row: (row, torch.get_num_threads()), count) == [(row, each) for row in range(count)]
    assert torch.get_num_threads() == threads


def test_as_many_go_at_once_as_there_are_threads() -> None:
    torch.set_num_threads(2)
    both = threading.Barrier(2)
    assert by_row(lambda row: both.wait(timeout=20) >= 0, 4) == [True] * 4


@pytest.mark.parametrize("inference", [True, False])
def test_a_row_is_computed_in_the_modes_of_its_caller(inference: bool) -> None:
    torch.set_num_threads(2)
    with torch.inference_mode(inference), torch.no_grad():
        modes = by_row(lambda _: (torch.is_inference_mode_enabled(), torch.is_grad_enabled()), 2)
    assert modes == [(inference, False)] * 2


def test_an_error_in_a_row_is_the_callers() -> None:
    torch.set_num_threads(2)

    def work(row: int) -> int:
        if row == 1:
            raise ValueError("row 1 is damaged")
        return row

    with pytest.raises(ValueError, match="row 1 is damaged"):
        by_row(work, 3)
    assert torch.get_num_threads() == 2


def test_small_rows_and_those_with_gradients_stay_together() -> None:
    large = torch.zeros(2, rows.LARGE)
    with torch.no_grad():
        assert goes_by_row(large)
        assert not goes_by_row(large[:, 1:])
        with torch.autocast("cpu"):
            assert not goes_by_row(large)
    assert not goes_by_row(large)


@torch.no_grad()
@pytest.mark.parametrize("mask", [False, True])
def test_masks_are_the_same_however_many_threads_share_the_rows(mask: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = Network(replace(tiny_random(), dense_prompts=True)).eval()
    frame = network.encode_image(torch.randn(1, 3, 64, 64)).rows(torch.zeros(3, dtype=torch.long))
    fused = torch.randn(3, network.config.hidden_dim, 4, 4)
    prompts = replace(no_prompt(3), mask_logits=torch.randn(3, 1, 16, 16) if mask else None)

    def found(threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        decoded = network.decode(fused, frame.stride4, frame.stride8, prompts, True, stability_fallback=True)
        present = torch.tensor([True, False, True])
        return [
            *(value for value in vars(decoded).values() if value is not None),
            network.encode_memory(frame.stride16[:1], decoded.masks[:, :1].sigmoid(), present),
        ]

    together = found(1)
    monkeypatch.setattr(rows, "LARGE", 0)
    alone, shared = found(1), found(2)
    for one, two, three in zip(together, alone, shared, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
        assert torch.equal(two, three)


def test_a_row_of_prompts_is_what_one_object_is_given() -> None:
    given = embedded_prompt(PromptEmbeddings(torch.arange(6.0).view(3, 1, 2), torch.arange(3.0).view(3, 1, 1, 1)))
    maps = torch.arange(3.0).view(3, 1, 1, 1)
    own = row_of(replace(given, carried=CarriedMasks(maps, maps + 1)), 1)
    assert own.carried is not None
    assert (own.carried.logits.item(), own.carried.trust.item()) == (1, 2)
    assert own.embedded is not None
    assert own.embedded.sparse.tolist() == [[[2.0, 3.0]]]
    assert own.embedded.dense.flatten().tolist() == [1.0]
    assert own.points.shape == (1, 0, 2)
    assert own.mask_logits is None


def test_rows_that_were_decoded_apart_come_together_in_order() -> None:
    torch.manual_seed(0)
    network = Network(tiny_random()).eval()
    frame = network.encode_image(torch.randn(2, 3, 64, 64))
    both = network.decode(frame.stride16, frame.stride4, frame.stride8, no_prompt(2), True)
    fine = replace(both, fine=torch.randn(2, 3, 64, 64))
    assert joined([row_of(both, row) for row in range(2)]).fine is None
    for name, value in vars(joined([row_of(fine, row) for row in range(2)])).items():
        assert torch.equal(value, getattr(fine, name))
