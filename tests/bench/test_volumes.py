"""The ACDC protocol on small volumes made for it: a network is not needed to know what a given mask scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from trocar.bench.volumes import AcdcOptions, acdc_table, run_acdc
from trocar.model import Network, tiny_random


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two volumes of 5 slices; in the second the right ventricle is missing, the left one on its middle slice only."""
    (tmp_path / "acdc").mkdir()
    labels = np.zeros((5, 16, 20), np.uint8)
    labels[1:4, 2:6, 2:6] = 1
    labels[1:4, 8:12, 2:6] = 2
    labels[2, 8:12, 10:16] = 3
    for number in (1, 2):
        with h5py.File(tmp_path / "acdc" / f"patient{number:03}_frame01.h5", "w") as file:
            file["image"] = np.random.default_rng(number).random((5, 16, 20), np.float32)
            file["label"] = labels if number == 1 else np.where(labels == 1, 0, labels)
    return tmp_path


def test_rows_and_means(data: Path) -> None:
    torch.manual_seed(3)
    network = Network(replace(tiny_random(), dense_prompts=True, mask_prior=True))
    figures = run_acdc(network, data, AcdcOptions(memories=("none", "recent")))
    rows = {
        (row["prompt"], row["planes"], row["memory"], row["directions"], row["aggregate"]): row
        for row in figures["rows"]
    }
    assert len(rows) == 2 * (2 + 2 * 2)
    # `none` finds nothing but what it is given: one of one slice for the left ventricle, one of three for the others.
    given = rows["true mask", "axial", "none", "", ""]
    assert (given["RV"], given["MYO"], given["LV"]) == (0.5, 0.5, 1.0)
    assert given["mean"] == pytest.approx(0.667)
    assert set(given["volumes"]["patient001_frame01"]) == {"RV", "MYO", "LV"}
    assert set(given["volumes"]["patient002_frame01"]) == {"MYO", "LV"}
    assert acdc_table(figures).count("\n") == 1 + len(rows)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="acdc"):
        run_acdc(Network(tiny_random()), tmp_path, AcdcOptions())
