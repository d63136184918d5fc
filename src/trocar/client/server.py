"""A server's projects, and files sent to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trocar.client.connection import Connection
from trocar.client.source import Source
from trocar.wire import FileMessage, NewSource, ProjectMessage, SourceMessage, UploadMessage, from_json, to_json


class Client(Connection):
    """A server: its projects and sources; see `Connection` for the arguments."""

    def about(self) -> dict[str, Any]:
        """Version, model, formats, offered folders and limits of the server."""
        said: dict[str, Any] = self.ask("GET", "/api/about")
        return said

    def projects(self) -> list[ProjectMessage]:
        """All projects."""
        return [from_json(ProjectMessage, one) for one in self.ask("GET", "/api/projects")]

    def project(self, name: str) -> Project:
        """The project of this name; it is made if need be."""
        found = next((one for one in self.projects() if one.name == name), None)
        if found is None:
            found = from_json(ProjectMessage, self.ask("POST", "/api/projects", {"name": name}))
        return Project(self, found)

    def source(self, source: int) -> Source:
        """A source by its number."""
        return Source(self, from_json(SourceMessage, self.ask("GET", f"/api/sources/{source}")))


class Project:
    """A project of a server."""

    def __init__(self, connection: Connection, told: ProjectMessage) -> None:
        self._connection = connection
        self.told = told

    def sources(self) -> list[Source]:
        """What is open in it."""
        found = self._connection.ask("GET", f"/api/projects/{self.told.id}/sources")
        return [Source(self._connection, from_json(SourceMessage, one)) for one in found]

    def open(self, asked: NewSource) -> Source:
        """Open a file below a folder that the server offers, or an upload."""
        said = self._connection.ask("POST", f"/api/projects/{self.told.id}/sources", to_json(asked))
        return Source(self._connection, from_json(SourceMessage, said))

    def upload(
        self,
        path: str | Path | Sequence[str | Path],
        options: NewSource | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Source:
        """Send a file, the files of a folder, or several files, and open them as one source.

        Args:
            path: what to send.
            options: how it is opened; its root and path do not count.
            progress: told (bytes sent, bytes in all).

        Raises:
            FileNotFoundError: a file is not there.
            ServerError: as `Connection.ask`.
        """
        given = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
        paths = [one for first in given for one in (sorted(first.iterdir()) if first.is_dir() else [first])]
        paths = [one for one in paths if not one.is_dir() and not one.name.startswith(".")]
        files = [to_json(FileMessage(one.name, one.stat().st_size)) for one in paths]
        announced = self._connection.ask("POST", f"/api/projects/{self.told.id}/uploads", {"files": files})
        upload = from_json(UploadMessage, announced)
        chunk, sent = int(self._connection.ask("GET", "/api/about")["limits"]["chunk"]), 0
        total = sum(one.size for one in upload.files)
        for index, one in enumerate(paths):
            with one.open("rb") as file:
                offset = 0
                while data := file.read(chunk):
                    where = f"/api/uploads/{upload.id}/{index}?offset={offset}"
                    self._connection.raw("PUT", where, data=data, headers={"Content-Type": "application/octet-stream"})
                    offset, sent = offset + len(data), sent + len(data)
                    if progress is not None:
                        progress(sent, total)
        return self.open(replace(options or NewSource(), upload=upload.id, root=None, path=None))
