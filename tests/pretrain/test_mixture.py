"""Mixed batches: SurgRec's shares hold exactly, and the order depends on nothing but the seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trocar.pretrain.mixture import Draw, Mixture, surgrec_shares

SIZES = {"core": 37, "unlabelled": 211, "clinical": 53}


def test_the_shares_are_the_papers() -> None:
    """0.15 and 0.85 * (0.7, 0.3): 59.5 % unlabelled, 40.5 % clinical in all."""
    shares = surgrec_shares()
    assert shares == {"core": 0.15, "unlabelled": 0.595, "clinical": 0.255}
    assert shares["core"] + shares["clinical"] == pytest.approx(0.405)


@pytest.mark.parametrize("size", [1, 7, 8, 32, 40, 64, 256])
def test_a_thousand_steps_hold_the_shares_for_any_batch_size(size: int) -> None:
    mixture = Mixture(SIZES, surgrec_shares(), 0)
    taken = Counter(draw.pool for step in range(1000) for draw in mixture.batch(step, size))
    for pool, share in surgrec_shares().items():
        assert abs(taken[pool] - share * 1000 * size) < 1


@given(core=st.integers(0, 20), unlabelled=st.integers(0, 20), draws=st.integers(1, 900))
@settings(max_examples=60, deadline=None)
def test_no_pool_is_ever_a_whole_clip_off(core: int, unlabelled: int, draws: int) -> None:
    shares = surgrec_shares(core / 20, unlabelled / 20)
    taken = Counter(draw.pool for draw in Mixture(SIZES, shares, 1).batch(0, draws))
    for pool, share in shares.items():
        assert abs(taken[pool] - share * draws) < 1


def test_every_clip_comes_once_before_any_comes_again() -> None:
    drawn = [draw.index for draw in Mixture(SIZES, surgrec_shares(), 5).batch(0, 1000) if draw.pool == "core"]
    first, second = drawn[:37], drawn[37:74]
    assert sorted(first) == sorted(second) == list(range(37))
    assert first != second


def test_resuming_and_other_numbers_of_processes_keep_the_order() -> None:
    """Steps 3 to 9 alone, by 1, 2 or 4 processes, are steps 3 to 9 of the whole run."""
    whole = Mixture(SIZES, surgrec_shares(), 2)
    expected = [whole.batch(step, 24) for step in range(10)][3:]
    for world in (1, 2, 4):
        ranks = [Mixture(SIZES, surgrec_shares(), 2) for _ in range(world)]
        for step, batch in enumerate(expected, 3):
            together: list[Draw] = []
            for rank, mixture in enumerate(ranks):
                together += mixture.batch(step, 24, rank, world)
            assert sorted(together, key=lambda draw: draw.position) == batch


def test_the_sequence_does_not_depend_on_the_batch_size() -> None:
    by_seven = [draw for step in range(40) for draw in Mixture(SIZES, surgrec_shares(), 3).batch(step, 7)]
    by_forty = [draw for step in range(7) for draw in Mixture(SIZES, surgrec_shares(), 3).batch(step, 40)]
    assert by_seven == by_forty


def test_another_seed_is_another_order() -> None:
    assert Mixture(SIZES, surgrec_shares(), 0).batch(0, 50) != Mixture(SIZES, surgrec_shares(), 1).batch(0, 50)


def test_bad_mixtures_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        Mixture(SIZES, {"core": 0.5}, 0)
    with pytest.raises(ValueError, match="'clinical' has a share but no clips"):
        Mixture({"core": 3, "unlabelled": 4}, surgrec_shares(), 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        surgrec_shares(core=1.2)
    with pytest.raises(ValueError, match="rank < world"):
        Mixture(SIZES, surgrec_shares(), 0).batch(0, 8, rank=2, world=2)
