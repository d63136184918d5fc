"""A real server for tests: a tiny network with random weights, a short video, and uvicorn in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch
import uvicorn

from trocar.client import Client, Source
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.serve.app import make_app
from trocar.serve.service import Service
from trocar.serve.settings import ServeSettings
from trocar.wire import NewSource

FRAMES, ROWS, COLUMNS = 24, 48, 64


@dataclass
class Served:
    """A running server and how to speak to it."""

    address: str
    service: Service

    def client(self, name: str = "", token: str = "") -> Client:
        return Client(self.address, token, name or "test-client", timeout_s=60)

    def clip(self, project: str = "test", name: str = "") -> Source:
        """The video of the offered folder, open in a project."""
        return self.client(name).project(project).open(NewSource(root="videos", path="clip.mp4"))


def save_tiny_network(path: Path) -> Path:
    """Random weights with all that nano has; the seed is one with which masks are not empty."""
    torch.manual_seed(3)
    save_weights(Network(replace(tiny_random(), dense_prompts=True, mask_prior=True)), path, {})
    return path


def save_clip(path: Path, frames: int = FRAMES) -> Path:
    """A square that wanders over grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, ROWS, "yuv420p"
        for number in range(frames):
            picture = np.full((ROWS, COLUMNS, 3), 90, np.uint8)
            picture[10:30, number : number + 20] = (200, 60, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(settings: ServeSettings) -> Iterator[Served]:
    """A server in a thread, until the block ends."""
    service, port = Service(settings), free_port()
    server = uvicorn.Server(
        uvicorn.Config(make_app(service), port=port, log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield Served(f"http://127.0.0.1:{port}", service)
    finally:
        server.should_exit = True
        thread.join()
