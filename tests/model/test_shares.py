"""Threads that computations share: what each is told, when it looks again, and that results do not depend on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from trocar.load import load
from trocar.model import Network, tiny_random
from trocar.model.precision import in_precision
from trocar.model.rows import by_row
from trocar.model.shares import share_threads, take_share, threads_together


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    share_threads()
    torch.set_num_threads(before)


def test_who_computes_alone_has_what_pytorch_has() -> None:
    torch.set_num_threads(3)
    take_share()
    assert torch.get_num_threads() == threads_together() == 3


def test_a_share_is_asked_for_anew_at_each_part() -> None:
    counts = iter([2, 3, 1])
    share_threads(now=lambda: next(counts))
    seen = []
    for _ in range(3):
        take_share()
        seen.append(torch.get_num_threads())
    assert seen == [2, 3, 1]


def test_what_one_thread_is_told_no_other_hears_of() -> None:
    share_threads(now=lambda: 5, together=7)
    assert threads_together() == 7
    with ThreadPoolExecutor(1) as other:
        assert other.submit(threads_together).result() == other.submit(torch.get_num_threads).result() != 7


def test_rows_go_on_all_threads_while_an_operation_has_a_part_of_them() -> None:
    torch.set_num_threads(1)
    share_threads(together=2)
    both = threading.Barrier(2)
    assert by_row(lambda _: both.wait(timeout=20) >= 0, 2) == [True, True]
    assert torch.get_num_threads() == 1


def test_the_image_encoder_takes_threads_that_become_free_before_each_of_its_blocks() -> None:
    asked: list[int] = []

    def now() -> int:
        asked.append(torch.get_num_threads())
        return 1 if len(asked) < 3 else 2

    network = Network(tiny_random()).eval()
    torch.set_num_threads(1)
    share_threads(now=now)
    with torch.inference_mode():
        network.encode_image(torch.randn(1, 3, 64, 64))
    assert asked == [1, 1, 1, *[2] * (sum(network.config.blocks) - 3)]


@torch.no_grad()
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_features_do_not_depend_on_how_many_threads_made_them(precision: str) -> None:
    torch.manual_seed(0)
    pictures = torch.randn(1, 3, 256, 256)
    nano = in_precision(load("nano"), precision)  # type: ignore[arg-type]
    for network in (nano, Network(replace(tiny_random(), image_size=256)).eval()):
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(network.encode_image(pictures))
        for other in found[1:]:
            for name in ("stride4", "stride8", "stride16"):
                torch.testing.assert_close(getattr(found[0], name), getattr(other, name), rtol=1e-5, atol=1e-5)
