"""The measured values of a volume's slices, and the window they are shown in: what the file holds, in every plane."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from running_server import Served
from trocar.client import ServerError, Source
from trocar.formats import open_source
from trocar.wire import NewSource

AFFINE = np.array([[-2, 0, 0.5, 10], [0, 1.5, 0, -4], [0.3, 0, 3, 7], [0, 0, 0, 1.0]])


def volume(served: Served, folder: Path, name: str, values: np.ndarray) -> Source:
    nib.save(nib.Nifti1Image(values, AFFINE), folder / name)
    return served.client().project("values").open(NewSource(root="videos", path=name))


def got(served: Served, address: str) -> np.ndarray:
    return np.load(io.BytesIO(served.client().raw("GET", address).content), allow_pickle=False)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_whole_numbers_come_as_they_are(served: Served, videos: Path, plane: str) -> None:
    values = np.random.default_rng(0).integers(-1000, 2000, (7, 6, 5)).astype(np.int16)
    source = volume(served, videos, f"whole-{plane}.nii.gz", values)
    direct = open_source(videos / f"whole-{plane}.nii.gz", plane=plane)
    for index in range(len(direct)):
        found = got(served, f"/api/sources/{source.told.id}/slices/{plane}/{index}/values")
        assert found.dtype == np.int16
        assert np.array_equal(found, direct.values(index))
    with pytest.raises(ServerError, match=f"slices 0 to {len(direct) - 1}"):
        got(served, f"/api/sources/{source.told.id}/slices/{plane}/{len(direct)}/values")


def test_fractions_and_large_numbers_come_as_floats(served: Served, videos: Path) -> None:
    for name, values in (("fractions", np.linspace(-1, 1, 60)), ("large", np.arange(60.0) * 1000)):
        kind = np.float32 if name == "fractions" else np.int32
        source = volume(served, videos, f"{name}.nii.gz", values.reshape(5, 4, 3).astype(kind))
        found = got(served, f"/api/sources/{source.told.id}/slices/axial/1/values")
        assert found.dtype == np.float32
        assert np.array_equal(found, open_source(videos / f"{name}.nii.gz").values(1).astype(np.float32))


def test_the_window_is_that_of_the_frames(served: Served, videos: Path) -> None:
    values = np.random.default_rng(0).integers(-1000, 2000, (7, 6, 5)).astype(np.int16)
    source = volume(served, videos, "window.nii.gz", values)
    grey = served.client().ask("GET", f"/api/sources/{source.told.id}/window")
    shown = (np.clip((got(served, f"/api/sources/{source.told.id}/slices/axial/2/values") - grey["low"]), 0, None)) * (
        255 / (grey["high"] - grey["low"])
    )
    assert np.abs(np.clip(shown, 0, 255) - source.frame(2)[..., 0]).max() <= 0.5
    assert grey["inverted"] is False


def test_a_video_has_neither(served: Served) -> None:
    number = served.clip().told.id
    for address in (f"/api/sources/{number}/window", f"/api/sources/{number}/slices/axial/0/values"):
        with pytest.raises(ServerError, match="no volume"):
            served.client().raw("GET", address)
