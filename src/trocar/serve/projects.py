"""Projects, their sources and uploads, as the store keeps them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from trocar.serve.database import Database, now, projects, sources, uploads
from trocar.serve.errors import Refusal
from trocar.wire import NewSource, ProjectMessage, SourceMessage, from_json, to_json


class Projects:
    """What there is to annotate."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[ProjectMessage]:
        """All projects, oldest first."""
        counted = select(projects.c.id, projects.c.name, func.count(sources.c.id)).outerjoin(sources)
        with self._database.read() as connection:
            rows = connection.execute(counted.group_by(projects.c.id, projects.c.name).order_by(projects.c.id))
            return [ProjectMessage(*row) for row in rows]

    def create(self, name: str) -> ProjectMessage:
        """A new project.

        Raises:
            Refusal: the name is empty, too long or taken.
        """
        name = checked_name(name)
        if not name:
            raise Refusal("invalid", "a project needs a name: give one of up to 200 letters")
        try:
            with self._database.write() as connection:
                made = connection.execute(insert(projects).values(name=name, created=now()))
        except IntegrityError as error:
            raise Refusal(
                "conflict", f"there is a project {name!r} already: open it, or choose another name"
            ) from error
        assert made.inserted_primary_key is not None
        return ProjectMessage(int(made.inserted_primary_key[0]), name, 0)

    def check(self, project: int) -> None:
        """Raises Refusal where there is no such project."""
        with self._database.read() as connection:
            if connection.scalar(select(projects.c.id).where(projects.c.id == project)) is None:
                raise Refusal("missing", f"there is no project {project}: list them with GET /api/projects")

    def sources(self, project: int) -> list[SourceMessage]:
        """The sources of a project, oldest first."""
        self.check(project)
        with self._database.read() as connection:
            rows = connection.scalars(select(sources.c.told).where(sources.c.project == project).order_by(sources.c.id))
            return [from_json(SourceMessage, told) for told in rows]

    def add_source(self, project: int, asked: NewSource, told: SourceMessage, stamp: list[Any]) -> SourceMessage:
        """Store an opened source; gives its message with the id that it has now."""
        with self._database.write() as connection:
            values = {"project": project, "asked": to_json(asked), "told": to_json(told), "stamp": stamp, "openings": 0}
            made = connection.execute(insert(sources).values(**values))
            assert made.inserted_primary_key is not None
            source = int(made.inserted_primary_key[0])
            message = from_json(SourceMessage, to_json(told) | {"id": source, "project": project})
            connection.execute(update(sources).where(sources.c.id == source).values(told=to_json(message)))
        return message

    def source(self, source: int) -> tuple[NewSource, SourceMessage, list[Any]]:
        """How a source was asked for, what it is, and the stamp of its files.

        Raises:
            Refusal: there is none.
        """
        with self._database.read() as connection:
            row = connection.execute(select(sources).where(sources.c.id == source)).first()
        if row is None:
            raise Refusal("missing", f"there is no source {source}: list those of a project, or open one")
        return from_json(NewSource, row.asked), from_json(SourceMessage, row.told), row.stamp

    def count_opening(self, source: int) -> int:
        """How many times a session of the source was begun before this one."""
        with self._database.write() as connection:
            before = connection.scalar(select(sources.c.openings).where(sources.c.id == source))
            connection.execute(update(sources).where(sources.c.id == source).values(openings=sources.c.openings + 1))
        return int(before or 0)

    def add_upload(self, project: int, upload: str, files: list[dict[str, Any]]) -> None:
        """Store what is going to be uploaded."""
        self.check(project)
        with self._database.write() as connection:
            connection.execute(insert(uploads).values(id=upload, project=project, files=files))

    def upload(self, upload: str) -> list[dict[str, Any]]:
        """The files of an upload.

        Raises:
            Refusal: there is none of this id.
        """
        with self._database.read() as connection:
            files = connection.scalar(select(uploads.c.files).where(uploads.c.id == upload))
        if files is None:
            raise Refusal("missing", "there is no such upload: announce the files with POST first")
        found: list[dict[str, Any]] = files
        return found

    @property
    def used_uploads(self) -> set[str]:
        """The uploads that are sources."""
        with self._database.read() as connection:
            return {asked["upload"] for asked in connection.scalars(select(sources.c.asked)) if asked.get("upload")}

    def forget_upload(self, upload: str) -> None:
        """As if it had never been announced."""
        with self._database.write() as connection:
            connection.execute(delete(uploads).where(uploads.c.id == upload))


def checked_name(name: str) -> str:
    """A name that people gave, without blanks around it.

    Raises:
        Refusal: it is too long, or holds characters that cannot be shown or stored.
    """
    name = name.strip()
    if len(name) > 200 or not name.isprintable():
        raise Refusal("invalid", "a name has up to 200 printable characters: give a shorter or plainer one")
    return name
