"""How quickly a server answers: one user's clicks on an open 1080p frame, twenty users at once, and cancel.

    python scripts/server_figures.py --out docs/results/server.json

A real `trocar serve` in a process of its own, with the packaged model, over HTTP. Clicks: from the request to the mask
on the client's side, on a frame that the server was told to look at ahead, each click followed by an undo. Twenty
users: each on a project of its own, five clicks each, all at the same time. Cancel: how many frames were still stored
after the request to cancel, and how long until the job had ended.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from trocar.client import Client, ServerError, Source
from trocar.wire import NewSource

ROWS, COLUMNS, FRAMES = 1080, 1920, 60
USERS = 20


def write_clip(path: Path) -> None:
    """A disc that moves over blotches."""
    blotches = np.random.default_rng(0).integers(0, 255, (54, 96, 3), dtype=np.uint8)
    ground = cv2.resize(blotches, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    path.parent.mkdir()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, ROWS, "yuv420p"
        for number in range(FRAMES):
            picture = ground.copy()
            cv2.circle(picture, (500 + number * 5, 500), 150, (200, 60, 60), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def opened(address: str, user: int) -> Source:
    """The clip in a project of the user's own, with an object, the network having looked at frame 10."""
    client = Client(address, name=f"user-number-{user}", timeout_s=300)
    source = client.project(f"user {user}").open(NewSource(root="clips", path="clip.mp4"))
    source.objects.ensure(1)
    client.ask("POST", f"/api/sources/{source.told.id}/frames/10/prepare")
    return source


def click(address: str, source: Source, user: int, chance: np.random.Generator) -> float:
    """Seconds from a click to its mask; it is undone afterwards."""
    client = Client(address, name=f"user-number-{user}", timeout_s=300)
    place = [float(chance.uniform(450, 650)), float(chance.uniform(400, 600))]
    body = {"object": 1, "frame": 10, "prompts": [{"point": place}]}
    began = time.perf_counter()
    client.ask("POST", f"/api/sources/{source.told.id}/prompts", body)
    took = time.perf_counter() - began
    client.ask("POST", f"/api/sources/{source.told.id}/undo", {})
    return took


def one_user(address: str, clicks: int) -> list[float]:
    source, chance = opened(address, 0), np.random.default_rng(0)
    click(address, source, 0, chance)
    return [click(address, source, 0, chance) for _ in range(clicks)]


def many_users(address: str, clicks: int) -> list[float]:
    sources = [opened(address, user) for user in range(1, USERS + 1)]
    gate = threading.Barrier(USERS)

    def work(number: int) -> list[float]:
        chance = np.random.default_rng(number)
        gate.wait()
        return [click(address, sources[number - 1], number, chance) for _ in range(clicks)]

    with ThreadPoolExecutor(USERS) as users:
        return [one for found in users.map(work, range(1, USERS + 1)) for one in found]


def cancelling(address: str) -> dict[str, Any]:
    source = opened(address, 0)
    source.add({"box": [400, 350, 700, 650]}, frame=0)
    running = source.propagate()
    for _ in range(3):
        next(running)
    began = time.perf_counter()
    seen = running.cancel().done
    ended = running.wait()
    seconds_a_frame = 1 / ended.rate_hz
    return {
        "frames_after": ended.done - seen,
        "seconds": round(time.perf_counter() - began, 3),
        "seconds_a_frame": round(seconds_a_frame, 3),
    }


def summary(seconds: list[float]) -> dict[str, float]:
    median, late = np.median(seconds), np.quantile(seconds, 0.95)
    return {"clicks": len(seconds), "median_s": round(float(median), 3), "p95_s": round(float(late), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=30, help="of the single user (30)")
    parser.add_argument("--clicks-each", type=int, default=5, help="of each of twenty users (5)")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    with serving() as address:
        figures = {
            "one_user": summary(one_user(address, options.clicks)),
            "twenty_users": summary(many_users(address, options.clicks_each)),
            "cancel": cancelling(address),
        }
    told(figures, options.out)


@contextmanager
def serving() -> Iterator[str]:
    """The address of a real server with the packaged model and the clip, in a process and a folder of its own."""
    with socket.socket() as probe, tempfile.TemporaryDirectory(prefix="trocar-figures-") as name:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        folder, address = Path(name), f"http://127.0.0.1:{port}"
        write_clip(folder / "clips" / "clip.mp4")
        command = [sys.executable, "-m", "trocar", "serve", "--project", str(folder / "project"), "--port", str(port)]
        with subprocess.Popen([*command, "--root", f"clips={folder / 'clips'}"]) as server:
            try:
                wait_for(address, server)
                yield address
            finally:
                server.terminate()


def told(figures: dict[str, Any], out: Path | None) -> None:
    """Print figures with what they were measured on, and keep them in a file."""
    facts = figures | {
        "source": {"size": [ROWS, COLUMNS], "model": "nano"},
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
    }
    print(json.dumps(facts, indent=2))
    if out:
        out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            Client(address).raw("GET", "/health")
            return
        except ServerError:
            if server.poll() is not None:
                raise SystemExit("the server did not start: look at its message above") from None
            time.sleep(0.1)


if __name__ == "__main__":
    main()
