"""Files that arrive in chunks: never longer than announced, and on disk before they are acknowledged."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections import defaultdict
from pathlib import Path

from trocar.serve.errors import Refusal
from trocar.serve.projects import Projects
from trocar.serve.settings import Limits
from trocar.wire import FileMessage, UploadMessage

MOST_FILES = 100_000


class Uploads:
    """The uploads of a server.

    Args:
        folder: where they lie, each in a folder of its own with a random name.
        projects: keeps what was announced.
        limits: how large they may be.
    """

    def __init__(self, folder: Path, projects: Projects, limits: Limits) -> None:
        self._folder = folder
        self._projects = projects
        self._limits = limits
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def announce(self, project: int, files: list[FileMessage]) -> UploadMessage:
        """Begin an upload.

        Raises:
            Refusal: no file, a name with a folder in it, two of one name, more bytes than allowed.
        """
        names = [_checked(file.name) for file in files]
        if not names or len(names) > MOST_FILES or len({name.lower() for name in names}) < len(names):
            raise Refusal("invalid", f"an upload is of 1 to {MOST_FILES} files with different names: check the list")
        if any(file.size < 1 for file in files):
            raise Refusal("invalid", "a file to upload has at least one byte: leave empty ones out")
        total = sum(file.size for file in files)
        if total > self._limits.upload_bytes:
            most = self._limits.upload_bytes // 2**20
            raise Refusal("too_large", f"the upload has {total // 2**20} MiB: at most {most} MiB are taken")
        self._folder.mkdir(parents=True, exist_ok=True)
        if total > shutil.disk_usage(self._folder).free:
            raise Refusal("storage", "the server's disk has no room for this upload: free some space there")
        upload = secrets.token_urlsafe(18).replace("-", "a").replace("_", "b")
        said = [{"name": name, "size": file.size} for name, file in zip(names, files, strict=True)]
        self._projects.add_upload(project, upload, said)
        (self._folder / upload).mkdir()
        return self.state(upload)

    def state(self, upload: str) -> UploadMessage:
        """How far an upload is."""
        files = self._projects.upload(upload)
        there = [self._folder / upload / file["name"] for file in files]
        received = [path.stat().st_size if path.exists() else 0 for path in there]
        return UploadMessage(
            upload, [FileMessage(f["name"], f["size"], done) for f, done in zip(files, received, strict=True)]
        )

    def keep(self, upload: str) -> None:
        """Somebody is about to open it: it counts as new, so that nobody deletes it meanwhile."""
        self._projects.upload(upload)
        folder = self._folder / upload
        if folder.is_dir():
            os.utime(folder)

    def receive(self, upload: str, index: int, offset: int, chunk: bytes) -> FileMessage:
        """Append a chunk to a file.

        Raises:
            Refusal: it does not begin where the file ends, or goes beyond what was announced.
        """
        files = self._projects.upload(upload)
        if index >= len(files):
            raise Refusal("missing", f"the upload has files 0 to {len(files) - 1}: check the number")
        name, size = files[index]["name"], int(files[index]["size"])
        path = self._folder / upload / name
        with self._locks[upload]:
            there = path.stat().st_size if path.exists() else 0
            if offset != there:
                raise Refusal("conflict", f"{there} bytes of {name} have arrived: go on with offset {there}")
            if there + len(chunk) > size:
                raise Refusal("too_large", f"{name} was announced with {size} bytes: announce its true size")
            try:
                with path.open("ab") as file:
                    file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                os.truncate(path, there)
                raise
        return FileMessage(name, size, there + len(chunk))


def _checked(name: str) -> str:
    """A file name that names nothing but a file in its folder."""
    bad = not name or name[0] == "." or any(letter in '/\\:*?"<>|' for letter in name) or not name.isprintable()
    if bad or len(name.encode()) > 200:
        raise Refusal(
            "invalid", "a file name has no folder in it, no leading dot and up to 200 plain letters: rename it"
        )
    return name
