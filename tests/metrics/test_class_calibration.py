"""Temperatures and the calibration of classes, on logits whose truth is drawn from known probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from trocar.metrics.calibration import class_calibration, fit_temperature


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn from exactly the probabilities that they stand for."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4))
    chances = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((count, 1)) > chances).sum(axis=1).clip(max=3)


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_the_temperature_undoes_a_factor(factor: float) -> None:
    logits, targets = drawn(20_000, 0)
    assert fit_temperature(factor * logits, targets) == pytest.approx(factor, rel=0.03)


def test_probabilities_serve_as_well_as_logits() -> None:
    logits, targets = drawn(500, 1)
    said = np.log(softmax(3 * logits, axis=1))
    assert fit_temperature(said, targets) == pytest.approx(fit_temperature(3 * logits, targets), rel=1e-4)


def test_a_temperature_fitted_on_held_out_data_repairs_the_calibration() -> None:
    held_out, other = drawn(5000, 2), drawn(5000, 3)
    temperature = fit_temperature(4 * held_out[0], held_out[1])
    assert class_calibration(4 * other[0], other[1]).error > 0.1
    assert class_calibration(4 * other[0], other[1], temperature).error < 0.02


def test_two_cases_by_hand() -> None:
    """Confidences 0.75 and 0.9, of which the first is right: |1 - 0.75| / 2 + |0 - 0.9| / 2."""
    logits = np.log(np.array([[0.75, 0.25], [0.1, 0.9]]))
    assert class_calibration(logits, np.array([0, 0])).error == pytest.approx((0.25 + 0.9) / 2)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        fit_temperature(np.zeros((2, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match="leave the others out"):
        class_calibration(np.zeros((2, 3)), np.array([0, -1]))
