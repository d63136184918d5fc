"""Kill a server again and again while somebody annotates, and look whether anything that it acknowledged is missing.

    python scripts/kill_annotation.py --rounds 200 --out docs/results/kill-annotation.json

Each round starts a server (a process of its own, forked from one that has imported what it needs), goes on with a
random script of prompts, undo, redo, removals and propagations, and sends SIGKILL at a random moment. Before the next
round the data base is checked, and what the new server says is compared with all that was ever acknowledged: the order
of edits, what redo would bring back, and the version (a digest) of every mask. What was under way may have happened or
not, but not by half.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import uvicorn

from trocar.client import Client, ServerError, Source
from trocar.client.connection import events
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.serve.app import make_app
from trocar.serve.service import Service
from trocar.serve.settings import ServeSettings
from trocar.wire import MaskMessage, NewSource, from_json

FRAMES, ROWS, COLUMNS = 24, 48, 64
OBJECTS = 4
LONGEST_STRETCH = 8
Place = tuple[int, int]


@dataclass
class Said:
    """An edit that was acknowledged; `version` is that of its answer."""

    kind: str
    object_id: int
    frame: int
    version: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        return self.kind, self.object_id, self.frame


@dataclass
class Books:
    """All that was acknowledged, and the one thing that is under way."""

    edits: list[Said] = field(default_factory=list)
    undone: list[Said] = field(default_factory=list)
    tracked: dict[Place, str] = field(default_factory=dict)
    under_way: Said | None = None
    visited: set[int] = field(default_factory=set)  # frames that a propagation under way may have changed
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def possible(self) -> list[tuple[list[Said], list[Said]]]:
        """What the edits may be now: as acknowledged, or with what was under way."""
        found = [(self.edits, self.undone)]
        match self.under_way:
            case Said(kind="undo") if self.edits:
                found.append((self.edits[:-1], [self.edits[-1], *self.undone]))
            case Said(kind="redo") if self.undone:
                found.append(([*self.edits, self.undone[0]], self.undone[1:]))
            case Said(kind="prompt" | "remove"):
                found.append(([*self.edits, self.under_way], []))
        return found

    def expected(self) -> dict[Place, str]:
        """The version of every mask that must be shown."""
        last = {one.object_id: one.kind for one in self.edits}
        shown = dict(self.tracked)
        shown |= {(one.object_id, one.frame): one.version for one in self.edits if one.kind == "prompt"}
        return {place: version for place, version in shown.items() if last.get(place[0]) == "prompt"}


def serve(folder: Path, model: Path, port: int) -> None:
    """What the process that is killed does."""
    torch.set_num_threads(1)
    settings = ServeSettings(folder / "project", {"clips": folder / "clips"}, model=str(model), device="cpu")
    uvicorn.run(make_app(Service(settings)), port=port, log_level="error")


def annotate(client: Client, source: Source, books: Books, chance: random.Random) -> None:
    """Until the server is gone."""
    while True:
        what = chance.choices(["prompt", "undo", "redo", "remove", "propagate"], [50, 14, 10, 4, 22])[0]
        removed = {one.object_id for one in books.edits if one.kind == "remove"}
        live = [name for name in range(1, OBJECTS + 1) if name not in removed]
        if what == "prompt" and live:
            prompt(client, source.told.id, books, chance, chance.choice(live))
        elif what == "remove" and len(live) > 2:
            object_id = chance.choice(live)
            frames = [one.frame for one in books.edits if one.object_id == object_id]
            books.under_way = Said("remove", object_id, min(frames, default=0))
            source.remove(object_id)
            books.edits, books.undone = [*books.edits, books.under_way], []
        elif (what == "undo" and books.edits) or (what == "redo" and books.undone):
            books.under_way = Said(what, 0, 0)
            source.undo() if what == "undo" else source.redo()
            books.edits, books.undone = books.possible()[1]
        elif what == "propagate" and books.expected():
            propagate(client, source.told.id, books, chance)
        else:
            continue
        books.under_way = None
        books.count(what)


def prompt(client: Client, source: int, books: Books, chance: random.Random, object_id: int) -> None:
    frame = chance.randrange(FRAMES)
    said: dict[str, Any] = {"point": [chance.uniform(0, COLUMNS), chance.uniform(0, ROWS)], "positive": True}
    if chance.random() < 0.4:
        x, y = chance.uniform(0, COLUMNS - 20), chance.uniform(0, ROWS - 20)
        said = {"box": [x, y, x + chance.uniform(5, 20), y + chance.uniform(5, 20)]}
    books.under_way = Said("prompt", object_id, frame)
    body = {"object": object_id, "frame": frame, "prompts": [said]}
    answer = client.ask("POST", f"/api/sources/{source}/prompts", body)
    books.under_way.version = answer["masks"][0]["version"]
    books.edits, books.undone = [*books.edits, books.under_way], []


def propagate(client: Client, source: int, books: Books, chance: random.Random) -> None:
    start = chance.randrange(FRAMES)
    if chance.random() < 0.5:
        asked = {"direction": "forward", "start": start, "stop": min(FRAMES - 1, start + LONGEST_STRETCH)}
    else:
        asked = {"direction": "backward", "start": start, "stop": max(1, start - LONGEST_STRETCH)}
        if asked["stop"] > start:
            return
    books.under_way = Said("propagate", 0, 0)
    books.visited = set(range(min(asked["start"], asked["stop"]), max(asked["start"], asked["stop"]) + 1))
    told = client.ask("POST", f"/api/sources/{source}/propagate", asked)
    for name, data in events(client, told["id"]):
        if name == "masks":
            for one in (from_json(MaskMessage, mask) for mask in data["masks"]):
                books.count("masks acknowledged")
                if not one.prompted:
                    books.tracked[one.object, one.frame] = one.version
            books.visited.discard(data["frame"])
        elif name == "done" and data["state"] != "finished":
            raise AssertionError(f"a propagation ended as {data}")


def check(client: Client, source: Source, books: Books, data: Path) -> None:
    """Compare what a new server says with the books, then take over what was under way and has happened."""
    with sqlite3.connect(data) as base:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert base.execute("PRAGMA foreign_key_check").fetchall() == []
        half = "SELECT count(*) FROM edits WHERE kind = 'prompt' AND (entry IS NULL OR mask IS NULL)"
        assert base.execute(half).fetchone() == (0,)
    history = source.records.history()
    found = [[(one.kind, one.object, one.frame) for one in part] for part in (history.edits, history.undone)]
    fitting = [one for one in books.possible() if [[said.key for said in part] for part in one] == found]
    assert fitting, f"the edits are {found}, acknowledged were {books.possible()}"
    books.edits, books.undone = fitting[-1]
    path = f"/api/sources/{source.told.id}/masks"
    shown = {(one.object, one.frame): one for one in (from_json(MaskMessage, m) for m in client.ask("GET", path))}
    for said in books.edits:
        if said is books.under_way and not said.version and (said.object_id, said.frame) in shown:
            said.version = shown[said.object_id, said.frame].version
    for place, version in books.expected().items():
        assert place in shown, f"the mask of {place} is missing"
        if place[1] not in books.visited or shown[place].prompted:
            assert shown[place].version == version, f"the mask of {place} is another than was acknowledged"
    for place, one in shown.items():
        if not one.prompted:
            books.tracked[place] = one.version
    assert all(job.state not in ("waiting", "running") for job in source.records.jobs())
    books.under_way, books.visited = None, set()


def write_clip(path: Path) -> None:
    path.parent.mkdir()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, ROWS, "yuv420p"
        for number in range(FRAMES):
            picture = np.full((ROWS, COLUMNS, 3), 90, np.uint8)
            picture[10:30, number : number + 20] = (200, 60, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_round(folder: Path, model: Path, books: Books, chance: random.Random, longest_s: float) -> None:
    """Start, check, annotate, kill."""
    port = free_port()
    process = multiprocessing.get_context("fork").Process(target=serve, args=(folder, model, port))
    process.start()
    assert process.pid is not None
    client = Client(f"http://127.0.0.1:{port}", name="kill-annotation")
    try:
        while not _answers(client):
            assert process.is_alive(), "the server ended by itself"
            time.sleep(0.02)
        source = client.project("killed").open(NewSource(root="clips", path="clip.mp4"))
        if not books.edits:
            source.objects.ensure(OBJECTS)
        check(client, source, books, folder / "project" / "trocar.sqlite")
        killer = threading.Timer(chance.uniform(0, longest_s), os.kill, (process.pid, signal.SIGKILL))
        killer.start()
        try:
            annotate(client, source, books, chance)
        except ServerError as error:
            if error.kind != "unreachable":
                raise
        killer.join()
    finally:
        process.kill()
        process.join()


def _answers(client: Client) -> bool:
    try:
        client.raw("GET", "/health")
    except ServerError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds until the kill, at most (3)")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chance, books, began = random.Random(options.seed), Books(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trocar-kill-") as name:
        folder = Path(name)
        write_clip(folder / "clips" / "clip.mp4")
        torch.manual_seed(3)
        save_weights(Network(tiny_random()), folder / "tiny.safetensors", {})
        for number in range(options.rounds):
            one_round(folder, folder / "tiny.safetensors", books, chance, options.longest)
            print(f"round {number + 1}: {books.counts}", flush=True)
    figures = {
        "rounds": options.rounds,
        "seed": options.seed,
        "longest_s": options.longest,
        "acknowledged": books.counts,
        "missing": 0,  # a missing edit or mask, or a damaged data base, ends the run with an error
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(figures))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
