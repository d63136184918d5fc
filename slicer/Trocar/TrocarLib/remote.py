"""What goes to the server and back. All of it runs in a thread, never touches the scene, and gives up in time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.client import Client, FrameMasks, Source
from trocar.wire import NewSource
from TrocarLib.background import Stop, Tell
from TrocarLib.grid import Grid
from TrocarLib.volume_file import Voxels, write_nrrd

PROJECT = "3D Slicer"


@dataclass(frozen=True)
class Server:
    """Where the server is.

    Args:
        address: as `trocar serve` prints it.
        token: the server's, if it asks for one.
        client: what it calls this window; who has it has its leases.
        holder: what others are told while a volume is edited here.
        timeout_s: until it counts as unreachable when it says nothing at all.
    """

    address: str
    token: str = ""
    client: str = ""
    holder: str = "3D Slicer"
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Opened:
    """A volume at the server, and how its slices lie on Slicer's voxels."""

    source: Source
    grid: Grid


@dataclass(frozen=True)
class MaskGiven:
    """A mask as a prompt: (rows, columns) bool of a slice."""

    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Prompts:
    """Prompts of one object, each answered before the next is sent.

    Args:
        object_id: at the server; None for a new one.
        name, colour: the segment's; colour as "#rrggbb".
        said: (slice, prompt) in their order: a message such as {"box": [x0, y0, x1, y1]}, or a MaskGiven.
    """

    object_id: int | None
    name: str
    colour: str
    said: Sequence[tuple[int, Any]] = field(default_factory=list)


def open_volume(server: Server, voxels: Voxels, plane: str, window: str, tell: Tell) -> Opened:
    """Open a volume at the server; it is sent only if the server does not have it yet.

    Raises:
        ServerError: the server refuses, fails or does not answer.
        ValueError: the volume cannot be sent.
    """
    client = Client(server.address, server.token, server.client, server.timeout_s)
    project = client.project(PROJECT)
    name = voxels.file_name(plane, window)
    source = next((one for one in project.sources() if one.told.name == name), None)
    if source is None:
        with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
            path = Path(folder) / name
            write_nrrd(path, voxels)
            options = NewSource(plane=plane, window=_window(window))
            source = project.upload(path, options, lambda sent, total: tell("progress", ("sending", sent, total)))
    told = source.told
    if told.affine is None:
        raise ValueError(f"the server does not know where {voxels.name} lies: give the volume a geometry")
    source.records.take_lease(server.holder)
    grid = Grid(voxels.ijk_to_ras, voxels.values.shape, np.array(told.affine), (told.frames, *told.size))
    return Opened(source, grid)


def all_masks(opened: Opened) -> list[FrameMasks]:
    """Every mask as it counts now."""
    return opened.source.masks(0, opened.source.told.frames - 1)


def prompt(opened: Opened, asked: Prompts, tell: Tell) -> int:
    """Send prompts, tell the answers as ("masks", FrameMasks), and give the object's id at the server."""
    objects = opened.source.objects
    if asked.object_id is None:
        name = objects.add(asked.name, asked.colour).id
    else:
        name = objects.change(asked.object_id, asked.name, asked.colour).id
    tell("object", name)
    for frame, said in asked.said:
        tell("masks", opened.source.add(said, frame=frame, object_id=name))
        tell("sent", frame)
    return name


def propagate(opened: Opened, direction: str, span: tuple[int, int], tell: Tell, stop: Stop) -> bool:
    """Track all objects within a span of slices, both ends included; gives whether it went to the end.

    Masks are told as ("masks", FrameMasks) as they are made, and how far it is as ("progress", (what, done, total)).
    """
    for one in _passes(opened, direction, span):
        running = opened.source.propagate(*one)
        stop.when_wanted(running.cancel)
        for masks in running:
            tell("masks", masks)
            tell("progress", (f"tracking {one[0]}", running.told.done, running.told.total))
        if running.told.state != "finished":
            return False
    return True


def _passes(opened: Opened, direction: str, span: tuple[int, int]) -> list[tuple[Any, ...]]:
    """The propagations (direction, start, stop) that make up a span."""
    first, last = span
    end = opened.source.told.frames - 1
    if not 0 <= first <= last <= end:
        raise ValueError(f"slices {first} to {last} are no span of 0 to {end}: choose a start below the stop")
    upto, downto = (None if last == end else last), (None if first == 0 else first)
    if direction != "both":
        return [(direction, None, upto if direction == "forward" else downto)]
    if upto is None and downto is None:
        return [("both",)]
    begun = [min(one.prompted) for one in opened.source.objects.all() if one.prompted]
    # Backward first: what both pass over is then as tracking forward left it, as in one pass both ways.
    back = [("backward", max(begun) - 1, first)] if begun and max(begun) > first else []
    return [*back, ("forward", None, upto)]


def _window(said: str) -> str | list[float]:
    if "," not in said:
        return said
    try:
        return [float(part) for part in said.split(",")]
    except ValueError as error:
        raise ValueError(f"window {said!r}: write LEVEL,WIDTH, as in 40,400, or a preset's name") from error
