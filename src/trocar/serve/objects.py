"""The objects of a source as the store keeps them: names, colours, and whether they have been removed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from trocar.formats.colours import colour_of
from trocar.serve.database import Database, edits, objects
from trocar.serve.errors import Refusal
from trocar.serve.projects import checked_name
from trocar.wire import ObjectMessage

HIGHEST_ID = 65535  # what label volumes hold


class Objects:
    """The objects of one source."""

    def __init__(self, database: Database, source: int) -> None:
        self._database = database
        self._source = source

    def all(self) -> list[ObjectMessage]:
        """The objects that have not been removed, by id."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(objects).where(objects.c.source == self._source).order_by(objects.c.object)
            )
            known = list(rows)
            heads = heads_of(connection, self._source)
        removed = {one.object for one in heads if one.kind == "remove" and not one.undone}
        prompted: dict[int, set[int]] = {}
        for one in heads:
            if one.kind == "prompt" and not one.undone:
                prompted.setdefault(one.object, set()).add(one.frame)
        return [
            ObjectMessage(row.object, row.name, row.colour, sorted(prompted.get(row.object, ())))
            for row in known
            if row.object not in removed
        ]

    def get(self, object_id: int) -> ObjectMessage:
        """One of them.

        Raises:
            Refusal: there is none, or it was removed.
        """
        found = next((one for one in self.all() if one.id == object_id), None)
        if found is None:
            raise Refusal("missing", f"there is no object {object_id} here: add it first, or undo its removal")
        return found

    @property
    def next_id(self) -> int:
        """The id of the next new object."""
        with self._database.read() as connection:
            return self._next_id(connection)

    def add(self, name: str = "", colour: str | None = None) -> ObjectMessage:
        """A new object; ids are never used twice."""
        name = checked_name(name)
        with self._database.write() as connection:
            number = self._next_id(connection)
            if number > HIGHEST_ID:
                raise Refusal("invalid", f"a source has at most {HIGHEST_ID} objects: open it in another project")
            made = ObjectMessage(number, name or f"object {number}", _colour(colour, number))
            values = {"source": self._source, "object": number, "name": made.name, "colour": made.colour}
            connection.execute(insert(objects).values(**values))
        return made

    def change(self, object_id: int, name: str | None, colour: str | None) -> ObjectMessage:
        """Give an object another name or colour."""
        before = self.get(object_id)
        wanted = before.name if name is None else checked_name(name)
        values = {"name": wanted or before.name, "colour": _colour(colour or before.colour, object_id)}
        this = (objects.c.source == self._source) & (objects.c.object == object_id)
        with self._database.write() as connection:
            connection.execute(update(objects).where(this).values(**values))
        return self.get(object_id)

    def _next_id(self, connection: Connection) -> int:
        newest = select(func.max(objects.c.object)).where(objects.c.source == self._source)
        return int(connection.scalar(newest) or 0) + 1


def heads_of(connection: Connection, source: int) -> list[Row[Any]]:
    """The edits of a source in order, without what is large: id, kind, object, frame, undone."""
    which = select(edits.c.id, edits.c.kind, edits.c.object, edits.c.frame, edits.c.undone)
    return list(connection.execute(which.where(edits.c.source == source).order_by(edits.c.id)))


def _colour(said: str | None, object_id: int) -> str:
    if said is None:
        return "#{:02x}{:02x}{:02x}".format(*colour_of(object_id))
    if len(said) != 7 or said[0] != "#" or not all(letter in "0123456789abcdefABCDEF" for letter in said[1:]):
        raise Refusal("invalid", f"{said[:20]!r} is no colour: write #rrggbb, as in #ff8800")
    return said.lower()
