"""Pictures of frames: the frame asked for, from the proxy too, in every file format."""

from __future__ import annotations

import io
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from running_server import Served
from trocar.formats import open_source
from trocar.frames import ArraySource
from trocar.serve.pictures import encoded, parse_window, scaled
from trocar.serve.proxy import write_proxy


def test_each_frame_of_a_proxy_is_the_one_of_that_number(tmp_path: Path) -> None:
    """Each frame carries its number as six bars, black or white."""
    bits = (np.arange(40)[:, None] >> np.arange(6)) & 1
    bars = np.repeat(bits, 32, axis=1).astype(np.uint8) * 255
    write_proxy(tmp_path / "proxy.mp4", ArraySource(np.repeat(bars[:, None], 96, axis=1), rate_hz=25.0), width=96)
    proxy = open_source(tmp_path / "proxy.mp4")
    assert len(proxy) == 40
    assert proxy.geometry.size == (48, 96)
    for number in (39, 0, 13, 5, 31, 12):
        seen = proxy[number].image[:, :, 0].reshape(48, 6, 16).mean(axis=(0, 2)) > 128
        assert int((seen << np.arange(6)).sum()) == number


@pytest.mark.slow
def test_scrubbing_goes_over_to_the_proxy(served: Served) -> None:
    source = served.clip("proxy")
    direct = open_source(served.service.settings.roots["videos"] / "clip.mp4")
    expected = scaled(direct[7].image, 32)
    assert np.array_equal(source.frame(7, width=32), expected)
    proxy = served.service.settings.folder / "views" / str(source.told.id) / "proxy.mp4"
    began = time.monotonic()
    while not proxy.exists() and time.monotonic() - began < 120:
        time.sleep(0.05)
    assert np.abs(source.frame(7, width=32).astype(float) - expected).mean() < 12
    assert np.array_equal(source.frame(7), direct[7].image)


def test_pictures_in_every_format() -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (9, 9), 5)
    for kind in ("png", "npy", "jpeg"):
        data, media = encoded(image, kind)
        back = np.load(io.BytesIO(data)) if kind == "npy" else np.asarray(Image.open(io.BytesIO(data)))
        assert kind in media
        assert np.abs(back.astype(int) - image).max() <= (0 if kind != "jpeg" else 40)


def test_windows_from_text() -> None:
    assert parse_window("40,400") == (40.0, 400.0)
    assert parse_window("lung") == "lung"
    with pytest.raises(ValueError, match="LEVEL,WIDTH"):
        parse_window("40,wide")
