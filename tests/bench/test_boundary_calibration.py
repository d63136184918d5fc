"""Reliability near boundaries counts the pixels it says it counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trocar.bench.boundary_calibration import BINS, boundary_reliability, pooled_error
from trocar.datasets.annotation_noise import signed_distance
from trocar.datasets.clip import Clip
from trocar.model import Network, tiny_random


def two_frames() -> Clip:
    labels = np.zeros((2, 64, 64), np.uint8)
    labels[0, 10:40, 10:40] = 1
    labels[1, 20:50, 20:50] = 2
    labels[1, :5, :5] = 1  # too small to count
    images = np.full((2, 64, 64, 3), 90, np.uint8)
    images[labels > 0] = 220
    return Clip("squares", images, labels, {1: "probe", 2: "hook"})


@pytest.mark.parametrize("band", [2.0, 4.0])
def test_each_pixel_near_a_boundary_counts_once_for_its_object(band: float) -> None:
    torch.manual_seed(0)
    clip = two_frames()
    ious, table = boundary_reliability(Network(tiny_random()).eval(), clip, band)
    near = [np.abs(signed_distance(clip.labels[frame] == frame + 1)) <= band for frame in (0, 1)]
    true = [mask & (clip.labels[frame] == frame + 1) for frame, mask in enumerate(near)]
    assert len(ious) == 2
    assert table.shape == (BINS, 3)
    assert table[:, 0].sum() == sum(mask.sum() for mask in near)
    assert table[:, 2].sum() == pytest.approx(sum(mask.sum() for mask in true))
    middles = (np.arange(BINS) + 0.5) / BINS
    shown = table[:, 0] > 0
    assert (np.abs(table[shown, 1] / table[shown, 0] - middles[shown]) <= 0.5 / BINS + 1e-6).all()


def test_the_error_of_several_clips_is_that_of_all_their_pixels() -> None:
    tables = np.zeros((2, BINS, 3))
    tables[0, 3] = 10, 2.5, 1  # says 0.25, true 0.1
    tables[1, 3] = 30, 7.5, 9  # says 0.25, true 0.3: together both are 10 of 40
    tables[1, 14] = 10, 9.8, 5  # says 0.98, true 0.5
    assert pooled_error(tables) == pytest.approx((0 + 4.8) / 50)
    assert pooled_error(tables[:1]) == pytest.approx(0.15)
