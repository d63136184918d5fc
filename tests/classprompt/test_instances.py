"""One class, several instruments: drawn by hand on maps of 40 x 40 cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.classprompt.instances import Pieces, split_instances

SIDE = 40


def drawn(*pieces: tuple[slice, slice]) -> Tensor:
    logits = torch.full((SIDE, SIDE), -6.0)
    for rows, columns in pieces:
        logits[rows, columns] = 6.0
    return logits


def areas(logits: Tensor, rules: Pieces | None = None) -> list[int]:
    return [int((one > 0).sum()) for one in split_instances(logits, rules)]


def test_nothing_is_no_instance() -> None:
    assert split_instances(drawn()) == []


def test_one_piece_is_the_mask_itself() -> None:
    logits = drawn((slice(3, 9), slice(3, 9)))
    (one,) = split_instances(logits)
    assert torch.equal(one, logits)


def test_two_pieces_are_two_the_larger_first_and_share_no_cell() -> None:
    logits = drawn((slice(2, 8), slice(2, 8)), (slice(20, 30), slice(25, 35)))
    first, second = split_instances(logits)
    assert [int((one > 0).sum()) for one in (first, second)] == [100, 36]
    assert not bool(((first > 0) & (second > 0)).any())
    assert torch.equal(torch.maximum(first, second) > 0, logits > 0)
    # Each keeps the class's own logits where it is.
    assert torch.equal(first[20:30, 25:35], logits[20:30, 25:35])
    assert float(second[20:30, 25:35].max()) == -16


def test_specks_are_dropped_and_not_given_to_anybody() -> None:
    logits = drawn((slice(2, 22), slice(2, 22)), (slice(30, 33), slice(30, 33)))
    (one,) = split_instances(logits)
    assert int((one > 0).sum()) == 400
    assert areas(logits, Pieces(least=0.0)) == [400, 9]
    assert areas(drawn((slice(3, 4), slice(3, 5)))) == [2]  # all there is


def test_a_shaft_that_something_crosses_stays_one_instrument() -> None:
    """Two parts of one line, six cells apart, and a third part beside it."""
    logits = drawn((slice(10, 14), slice(0, 16)), (slice(10, 14), slice(22, 38)), (slice(30, 34), slice(0, 16)))
    assert areas(logits) == [128, 64]


@pytest.mark.parametrize(
    "other",
    [
        (slice(18, 22), slice(22, 38)),  # alongside, not in line
        (slice(16, 32), slice(18, 22)),  # across
        (slice(10, 14), slice(26, 30)),  # a blob, which has no axis
    ],
    ids=["beside", "across", "blob"],
)
def test_what_does_not_lie_on_one_line_is_two(other: tuple[slice, slice]) -> None:
    assert len(areas(drawn((slice(10, 14), slice(0, 16)), other))) == 2


def test_over_a_wide_gap_two_pieces_are_two() -> None:
    logits = drawn((slice(10, 13), slice(0, 12)), (slice(10, 13), slice(26, 38)))
    assert areas(logits) == [36, 36]
    assert areas(logits, Pieces(gap=0.5)) == [72]


def test_a_slanting_shaft_is_one_too() -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    line: NDArray[np.bool_] = (abs(rows - columns) <= 2) & (abs(rows + columns - 40) >= 5)
    assert len(areas(torch.from_numpy(np.where(line, 6.0, -6.0)))) == 1
