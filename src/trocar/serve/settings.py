"""How a server is set up, and what it refuses as too large."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MIB = 2**20
SHORTEST_TOKEN = 8


@dataclass(frozen=True)
class Limits:
    """What is refused before it is read into memory.

    Args:
        upload_bytes: of all files of one upload together.
        chunk_bytes: of one chunk of an upload.
        body_bytes: of a JSON body.
        picture_pixels: of one frame, slice or picture.
        volume_bytes: of a volume's voxels, unpacked.
        frames: of a source.
    """

    upload_bytes: int = 16384 * MIB
    chunk_bytes: int = 16 * MIB
    body_bytes: int = 32 * MIB
    picture_pixels: int = 64_000_000
    volume_bytes: int = 4096 * MIB
    frames: int = 1_000_000


@dataclass(frozen=True)
class ServeSettings:
    """How a server is set up.

    Args:
        folder: the project folder: store, uploads, snapshots and exports.
        roots: folders whose files may be opened, by the name that clients see.
        token: what clients must show; "" for none, which only a loopback address allows.
        model, memory, device: as `trocar.load` and `trocar.load_memory` take them.
        class_model: what objects are looked for with by their class, see `Classes`.
        database: URL of the store; "" for SQLite in the folder.
        host: the address that is listened on.
        hosts: further names by which browsers may call the server.
        limits: see `Limits`.
        lease_s: seconds after which somebody who does nothing no longer keeps others from editing.
        open_sessions: sources kept ready; others are opened again when they are needed.
        kept_s: seconds for which downloads, and uploads that nobody opened, stay on disk.

    Raises:
        ValueError: a public address without a token, a short token, or a folder to offer that is none.
    """

    folder: Path
    roots: Mapping[str, Path] = field(default_factory=dict)
    token: str = ""
    model: str = "nano"
    memory: str = "recent"
    device: str | None = None
    class_model: str = "auto"
    database: str = ""
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    lease_s: float = 60.0
    open_sessions: int = 32
    kept_s: float = 24 * 3600.0

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines: give a --token that clients must show, or listen on "
                "127.0.0.1"
            )
        if self.token and (len(self.token) < SHORTEST_TOKEN or not self.token.isascii() or " " in self.token):
            raise ValueError(f"a token has at least {SHORTEST_TOKEN} letters and digits and no blanks: choose another")
        if self.kept_s < 0:
            raise ValueError(f"things are kept for {self.kept_s / 3600:g} hours: give --keep 0 or more")
        for name, root in self.roots.items():
            if not root.is_dir():
                raise ValueError(f"{root}, offered as {name!r}, is not a folder: give --root a folder that is there")


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
