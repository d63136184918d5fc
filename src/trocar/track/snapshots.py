"""Snapshots of the memory on disk, so that a correction, an undo or a resumed run replays a few frames, not all.

A snapshot holds every track's memory (policy state and live entries) as it is after a pass has visited a frame; a pass
also writes one before its first frame. RAM stays flat; the cost is on disk and is reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from trocar.memory.seam import MemoryEntry
from trocar.track.order import SIGNS, Direction
from trocar.track.track import Track

FOUND = "found"  # beside the objects' ids


class Snapshot(NamedTuple):
    """The last frame visited, the tracks' states by object id, and what a prompter has found, if there is one."""

    frame: int
    states: dict[int, dict[str, Any]]
    found: dict[str, Any] | None = None


class Snapshots:
    """The snapshots of one session. Files of an earlier session in the same folder count once they are adopted.

    Args:
        folder: where they lie; made when the first is written.
        device: where restored tensors go.
        keep: how many to keep of each direction, the newest; None for all.
    """

    def __init__(self, folder: Path, device: torch.device, keep: int | None = None) -> None:
        self.folder = folder
        self._device = device
        self._keep = keep
        self._frames: dict[Direction, set[int]] = {"forward": set(), "backward": set()}
        self._disowned: dict[int, set[Path]] = {}  # object id -> files that speak of an earlier object of that id

    def adopt(self) -> None:
        """Take up what an interrupted session left in the folder."""
        for path in self.folder.glob("*.pt"):
            if match := re.fullmatch(r"(forward|backward)-(\d+)\.pt", path.name):
                self._frames["forward" if match[1] == "forward" else "backward"].add(int(match[2]) - 1)

    def write(
        self, direction: Direction, frame: int, tracks: Mapping[int, Track], found: dict[str, Any] | None = None
    ) -> None:
        """Keep the state after `frame`; whole or not at all."""
        path = self._path(direction, frame)
        part = path.with_suffix(".part")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            states: dict[Any, Any] = {name: track.state() for name, track in tracks.items()}
            torch.save(states if found is None else {**states, FOUND: found}, part)
            os.replace(part, path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            part.unlink(missing_ok=True)
            raise OSError(f"cannot write the snapshot {path}: {error}; free some disk space and resume") from error
        self._frames[direction].add(frame)
        for files in self._disowned.values():
            files.discard(path)
        if self._keep is not None:
            sign = SIGNS[direction]
            self._drop(direction, set(sorted(self._frames[direction], key=lambda at: -sign * at)[self._keep :]))

    def before(self, direction: Direction, frame: int) -> Snapshot | None:
        """The latest snapshot from which a pass still has `frame` to visit."""
        sign = SIGNS[direction]
        earlier = [at for at in self._frames[direction] if (frame - at) * sign > 0]
        if not earlier:
            return None
        at = sign * max(sign * one for one in earlier)
        path = self._path(direction, at)
        states = torch.load(path, weights_only=True, map_location=self._device)
        for name in [name for name, files in self._disowned.items() if path in files]:
            states.pop(name, None)
        return Snapshot(at, states, states.pop(FOUND, None))

    def disown(self, object_id: int) -> None:
        """A new object gets this id: what was kept so far speaks of another one."""
        self._disowned[object_id] = {self._path(way, at) for way, frames in self._frames.items() for at in frames}

    def first_told(self, direction: Direction, object_id: int, entry: MemoryEntry, frame: int) -> int | None:
        """The first frame of the pass over `frame` whose memory was told of an answer when it began, if it was."""
        kept = self.before(direction, frame)
        known = kept.states.get(object_id, {"entries": []})["entries"] if kept else []
        if not any(one["id"] == entry.id and one["role"] == "prompted" for one in known):
            return None
        sign = SIGNS[direction]
        return sign * min(sign * at for at in self._frames[direction]) + sign

    def last(self, direction: Direction) -> int | None:
        """The frame that a pass has reached, as far as snapshots tell; None where there is none."""
        sign = SIGNS[direction]
        return sign * max(sign * at for at in self._frames[direction]) if self._frames[direction] else None

    def drop_from(self, frame: int) -> None:
        """Forget, in both directions, what was tracked from `frame` on: it has been edited."""
        for direction, sign in SIGNS.items():
            self._drop(direction, {at for at in self._frames[direction] if (at - frame) * sign >= 0})

    def clear(self, direction: Direction) -> None:
        """Forget a direction, with what an earlier session left in the folder."""
        for path in self.folder.glob(f"{direction}-*.pt"):
            path.unlink()
        self._frames[direction] = set()

    @property
    def size_bytes(self) -> int:
        """Disk that the snapshots take."""
        return sum(path.stat().st_size for path in self.folder.glob("*.pt"))

    def _drop(self, direction: Direction, frames: set[int]) -> None:
        for at in frames:
            self._path(direction, at).unlink()
        self._frames[direction] -= frames

    def _path(self, direction: Direction, frame: int) -> Path:
        # One is added since the state before a forward pass over frame 0 is the one "after frame -1".
        return self.folder / f"{direction}-{frame + 1:08d}.pt"
