"""Preparations as the papers state them, against NumPy on all values at once and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from trocar.formats import PREPARATIONS, Preparation, Window, open_source
from trocar.formats.intensity import NETWORK_DEVIATION, NETWORK_MEAN, Values, choose_window, describe, preparation
from trocar.formats.voxel_statistics import extremes, mean_and_deviation, percentiles

FLOATS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 30)),
    elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 7.0]),
)


@given(FLOATS, st.sampled_from(["positive", "nonzero", "all"]))
def test_percentiles_are_numpys(values: np.ndarray, voxels: str) -> None:
    """Exact, though the voxels are never together in memory."""
    chosen = {"positive": values > 0, "nonzero": values != 0, "all": values == values}[voxels]
    found = percentiles(lambda: values, (0, 0.5, 37, 99.5, 100), voxels)
    if not chosen.any():
        assert found == []
        return
    wanted = np.percentile(values[chosen].astype(np.float64), (0, 0.5, 37, 99.5, 100))
    assert found == pytest.approx(wanted.tolist(), rel=1e-6, abs=1e-6)
    assert extremes(lambda: values, voxels) == (values[chosen].min(), values[chosen].max())


@given(FLOATS)
def test_mean_and_deviation_are_numpys(values: np.ndarray) -> None:
    mean, deviation = mean_and_deviation(lambda: values, "all", (-500.0, 2000.0))
    clipped = values.astype(np.float64).clip(-500, 2000)
    assert mean == pytest.approx(clipped.mean(), abs=1e-6)
    assert deviation == pytest.approx(clipped.std(), abs=1e-3)


def test_what_is_not_finite_does_not_count() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 3, 5])
    assert percentiles(lambda: [values], (0, 50, 100)) == [3, 4, 5]
    assert extremes(lambda: [values[:3]]) is None


def voxels_of(seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(100, 30, (20, 40, 40)).astype(np.float32)
    values[:, :8] = 0
    values[:, 8:10] = -3
    return values


def test_the_benchmarks_mr_is_clipped_to_percentiles_of_what_is_not_zero() -> None:
    """Methods of the benchmark paper; MedSAM's own rule takes positive values."""
    values = voxels_of()
    for name, chosen in (("benchmark", values != 0), ("medsam", values > 0)):
        window = choose_window(PREPARATIONS[name], lambda: values, Values("MR"))
        low, high = np.percentile(values[chosen], (0.5, 99.5))
        assert (window.low, window.high) == pytest.approx((low, high), rel=1e-6)
        assert window.apply(np.array([low, high])).tolist() == [0, 255]


@pytest.mark.parametrize("name", PREPARATIONS)
def test_ct_is_cut_off_at_window_level_and_width_in_all_papers(name: str) -> None:
    values = np.array([-1000.0, -160, 40, 240, 3000])
    window = choose_window(PREPARATIONS[name], lambda: [values], Values("CT"))
    assert (window.clip or (window.low, window.high)) == (-160, 240)
    grey = window.apply(values).tolist()
    assert grey[0] == grey[1] < grey[2] < grey[3] == grey[4]


@pytest.mark.parametrize(("cropped", "zeros_count"), [(0.24, True), (0.26, False)])
def test_medsam_2_gives_the_network_standard_scores(cropped: float, zeros_count: bool) -> None:
    """Appendix C.1: trimmed to percentiles, mean subtracted, divided by the deviation; zeros left out of the
    statistics where cropping takes 25 % or more."""
    values = voxels_of()
    window = choose_window(PREPARATIONS["medsam-2"], lambda: values, Values("MR"), cropped)
    counted = values if zeros_count else values[values != 0]
    trimmed = values.clip(*np.percentile(counted, (0.5, 99.5)))
    mean, deviation = (trimmed if zeros_count else trimmed[values != 0]).mean(), 0.0
    deviation = (trimmed if zeros_count else trimmed[values != 0]).std()
    network = (window.apply(values) / 255 - NETWORK_MEAN) / NETWORK_DEVIATION
    wanted = ((trimmed - mean) / deviation).clip(
        -NETWORK_MEAN / NETWORK_DEVIATION, (1 - NETWORK_MEAN) / NETWORK_DEVIATION
    )
    assert np.abs(network - wanted).max() < 0.51 / 255 / NETWORK_DEVIATION


def test_grey_levels_are_left_alone() -> None:
    """The benchmark paper: for the remaining modalities, the intensities are not changed."""
    assert choose_window(preparation("benchmark"), lambda: [], Values(grey_levels=True)) == Window(0, 255)
    assert choose_window(preparation("none"), lambda: []) == Window(0, 255)


def test_statistics_of_several_sources_are_global() -> None:
    first, second = np.arange(1, 51.0), np.arange(1001, 1051.0)
    window = choose_window(preparation("minmax"), lambda: [first, second])
    assert window == Window(1, 1050)
    assert preparation(window).window is window


def test_the_record_says_it_all() -> None:
    said = describe(preparation("medsam-2"), Values("MR"), Window(1, 2, (0, 9)))
    assert said["preset"] == "medsam-2"
    assert (said["low"], said["high"], said["clip"]) == (1, 2, [0, 9])
    assert (said["modality"], said["zscore"], said["crop"]) == ("MR", True, True)


def test_names_that_are_not_known() -> None:
    for wrong in ({"voxels": "some"}, {"scope": "slice"}):
        with pytest.raises(ValueError, match="is not one of"):
            Preparation(**wrong)
    with pytest.raises(ValueError, match=r"no window is called 'x': use auto.*medsam-2"):
        Preparation("x")


def test_pictures_by_themselves_or_all_together(tmp_path: Path) -> None:
    for name, top in (("a", 100), ("b", 1000)):
        values = np.linspace(0, top, 64).reshape(8, 8).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    each = open_source(tmp_path, window="minmax")
    assert each[0].image.max() == each[1].image.max() == 255
    together = open_source(tmp_path, window=Preparation("minmax", scope="source"))
    assert together[0].image.max() == round(99 / 999 * 255)
    assert together.preparation["high"] == 1000
    with pytest.raises(ValueError, match="only volumes are cropped"):
        open_source(tmp_path, window="medsam-2")
