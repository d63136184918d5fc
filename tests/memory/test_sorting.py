"""MedSAM-2's rules on vectors small enough for a pencil."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trocar.memory.sorting import (
    least_dissimilar,
    likeness,
    proportional,
    release_victim,
    shares,
    softmax,
    unit_vectors,
)


def test_maps_become_unit_vectors() -> None:
    units = unit_vectors([torch.tensor([3.0, 4.0]).view(2, 1, 1), torch.tensor([0.0, -2.0]).view(2, 1, 1)])
    assert torch.equal(units, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))


def test_likeness_is_the_cosine() -> None:
    others = [torch.tensor([3.0, 4.0]), torch.tensor([-2.0, 0.0]), torch.tensor([0.0, 9.0])]
    assert likeness(torch.tensor([5.0, 0.0]), others) == pytest.approx([0.6, -1.0, 0.0])


@pytest.mark.parametrize(
    ("newcomer", "leaves"),
    [
        # cos ab = 0.6, an = 0, bn = 0.8: D_a = 0.4 + 1 = 1.4, D_b = 0.4 + 0.2 = 0.6, D_n = 1 + 0.2 = 1.2.
        ((0.0, 1.0), 1),
        # cos an = 0.8, bn = 0.96: D_a = 0.4 + 0.2 = 0.6, D_b = 0.4 + 0.04 = 0.44, D_n = 0.2 + 0.04 = 0.24.
        ((0.8, 0.6), 2),
    ],
)
def test_the_papers_rule_gives_up_the_least_dissimilar(newcomer: tuple[float, float], leaves: int) -> None:
    assert least_dissimilar(torch.tensor([(1.0, 0.0), (0.6, 0.8), newcomer])) == leaves


def test_of_equals_the_newest_leaves() -> None:
    assert least_dissimilar(torch.tensor([(1.0, 0.0)] * 4)) == 3


@pytest.mark.parametrize(
    ("newcomer", "iou", "leaves"),
    [
        # The newcomer's cosines with a, b, c are 0, 0.48, 0.6, so i = a; of a's cosines 0.8 is b's, so j = b; 0 < 0.8.
        ((0.0, 0.8, 0.6), 0.50, 1),
        ((0.0, 0.8, 0.6), 0.46, 1),  # 0.46 > 0.55 - 0.1
        ((0.0, 0.8, 0.6), 0.44, 3),  # 0.44 < 0.55 - 0.1
        # Cosines 0.36, 0.768, 0.8: i = a again and 0.36 < 0.8.
        ((0.36, 0.8, 0.48), 0.50, 1),
        # Cosines 0.96, 0.936, 0: i = c; of c's cosines the largest, b's, is 0, and 0 < 0 is false.
        ((0.96, 0.28, 0.0), 0.99, 3),
    ],
)
def test_the_releases_rule_on_a_bank_of_three(newcomer: tuple[float, ...], iou: float, leaves: int) -> None:
    # cos ab = 0.8, ac = 0, bc = 0.
    units = torch.tensor([(1.0, 0.0, 0.0), (0.8, 0.6, 0.0), (0.0, 0.0, 1.0), newcomer])
    assert release_victim(units, [0.99, 0.55, 0.99, iou], margin=0.1) == leaves


def test_a_bank_of_one_has_no_pair_to_give_up() -> None:
    assert release_victim(torch.tensor([(1.0, 0.0), (0.0, 1.0)]), [0.1, 0.9], margin=0.1) == 1


def test_probabilities_of_the_paper() -> None:
    assert proportional(np.array([0.6, 0.2, -0.5])) == pytest.approx([0.75, 0.25, 0.0])
    assert proportional(np.array([-0.1, -0.9])) == pytest.approx([0.5, 0.5])


def test_probabilities_of_the_release() -> None:
    cosines = np.array([0.5, 0.5 - math.log(3)])  # e^0 to e^-ln 3 is 3 to 1; at half the temperature 9 to 1
    assert softmax(cosines, 1.0) == pytest.approx([0.75, 0.25])
    assert softmax(cosines, 0.5) == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize(
    ("probability", "draws", "expected"),
    [
        ([0.5, 0.3, 0.2], 4, [2, 1, 1]),  # quotas 2, 1.2, 0.8: the one left over goes to the third
        ([0.25, 0.25, 0.25, 0.25], 2, [1, 1, 0, 0]),  # of equals the first
        ([0.9, 0.1], 1, [1, 0]),
    ],
)
def test_shares_by_largest_remainder(probability: list[float], draws: int, expected: list[int]) -> None:
    assert shares(np.array(probability), draws).tolist() == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 40))
def test_shares_add_up_and_stay_within_one_of_the_quota(cosines: list[float], draws: int) -> None:
    probability = proportional(np.array(cosines))
    times = shares(probability, draws)
    assert times.sum() == draws
    assert (abs(times - probability * draws) < 1 + 1e-9).all()
