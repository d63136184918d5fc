"""A server for the client's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from running_server import Served, save_clip, save_tiny_network, serving
from trocar.serve.settings import ServeSettings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    save_clip(folder / "videos" / "clip.mp4")
    model = str(save_tiny_network(folder / "tiny.safetensors"))
    with serving(
        ServeSettings(folder / "project", {"videos": folder / "videos"}, model=model, device="cpu")
    ) as running:
        yield running
