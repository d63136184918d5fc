"""Paired differences and their intervals against cases that are known."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.bench.paired import interval, paired_difference


def test_a_difference_that_never_changes_is_certain() -> None:
    reference = np.random.default_rng(0).random((3, 20))
    found = paired_difference(reference + 0.25, reference, draws=200)
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_of_one_run_it_is_the_interval_of_a_mean() -> None:
    gain = np.random.default_rng(1).normal(0.1, 1.0, (1, 400))
    found = paired_difference(gain, np.zeros_like(gain), draws=4000)
    half = 1.96 * gain.std() / 20
    assert found.mean == pytest.approx(gain.mean())
    assert found.low == pytest.approx(gain.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(gain.mean() + half, abs=0.1 * half)


def test_runs_count_as_drawn_as_well_as_scenes() -> None:
    """Where all scenes of a run agree, only the runs' spread is left: of two, both are drawn half of the time."""
    gain = np.repeat([[0.0], [1.0]], 50, axis=1)
    found = paired_difference(gain, np.zeros_like(gain), draws=4000)
    assert (found.low, found.mean, found.high) == (0.0, 0.5, 1.0)
    half = paired_difference(gain, np.zeros_like(gain), draws=4000, level=0.4)
    assert (half.low, half.high) == (0.5, 0.5)


def test_pairing_takes_out_what_scenes_have_in_common() -> None:
    rng = np.random.default_rng(2)
    hard = rng.random((1, 100))
    better = hard + 0.02 + rng.normal(0, 0.01, hard.shape)
    assert paired_difference(better, hard, draws=500).low > 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="two tables"):
        paired_difference(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="needs runs"):
        interval(lambda runs, scenes: 0.0, (0, 4))
