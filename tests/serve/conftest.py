"""A server for each test file, and the settings that it runs with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from running_server import Served, save_clip, save_tiny_network, serving
from trocar.serve.settings import ServeSettings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServeSettings:
    folder = tmp_path_factory.mktemp("served")
    videos = folder / "videos"
    save_clip(videos / "clip.mp4")
    model = str(save_tiny_network(folder / "tiny.safetensors"))
    return ServeSettings(folder / "project", {"videos": videos}, model=model, device="cpu")


@pytest.fixture(scope="module")
def served(settings: ServeSettings) -> Iterator[Served]:
    with serving(settings) as running:
        yield running


@pytest.fixture
def videos(settings: ServeSettings) -> Path:
    return settings.roots["videos"]
