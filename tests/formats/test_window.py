"""Truths by hand from MedSAM's rule: CT level 40 width 400; else percentiles 0.5 to 99.5 of positive values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trocar.formats.intensity import choose_window, preparation
from trocar.formats.window import Window, level_and_width


def window_of(choice: str | tuple[float, float], values: np.ndarray) -> Window:
    return choose_window(preparation(choice), lambda: [values])


def test_abdomen_spans_minus_160_to_240() -> None:
    window = window_of("auto", np.array([-1000, 40, 3000], np.int16))
    assert window == Window(-160, 240)
    assert window.apply(np.array([-1000, -160, 40, 240, 3000])).tolist() == [0, 0, 128, 255, 255]


def test_what_is_not_ct_uses_percentiles_of_positive_values() -> None:
    values = np.concatenate([np.zeros(5000), np.arange(1, 202)])
    assert window_of("auto", values) == Window(2.0, 200.0)


def test_odd_values_do_no_harm() -> None:
    grey = Window(0, 10).apply(np.array([np.nan, np.inf, -np.inf, 5]))
    assert grey.tolist() == [0, 255, 0, 128]
    assert window_of("percentile", np.zeros(4)).apply(np.zeros(4)).tolist() == [0] * 4
    assert window_of("percentile", np.full(4, 7)).apply(np.full(4, 7)).tolist() == [255] * 4


def test_level_and_width_and_unknown_names() -> None:
    assert window_of((0, 100), np.zeros(1)) == level_and_width(0, 100) == Window(-50, 50)
    with pytest.raises(ValueError, match="no window is called 'heart': use auto, percentile, abdomen"):
        window_of("heart", np.zeros(1))
    with pytest.raises(ValueError, match="width must be positive"):
        window_of((0, 0), np.zeros(1))


@given(st.lists(st.floats(-5000, 5000), min_size=2), st.floats(-1000, 1000), st.floats(1, 4000))
def test_windows_keep_order(values: list[float], level: float, width: float) -> None:
    grey = window_of((level, width), np.zeros(1)).apply(np.sort(values)).astype(int)
    assert (np.diff(grey) >= 0).all()
