"""The project store: tables in an embedded SQLite file, or in PostgreSQL by URL.

Writing returns when the data are on disk (SQLite: write-ahead log, synchronous = FULL), so that what was acknowledged
after it survives the death of the process and of the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
)

from trocar.serve.errors import Refusal

SCHEMA = 1

METADATA = MetaData()

facts = Table("facts", METADATA, Column("name", String(40), primary_key=True), Column("value", Integer, nullable=False))

projects = Table(
    "projects",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created", Float, nullable=False),
)

uploads = Table(
    "uploads",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("files", JSON, nullable=False),
)

sources = Table(
    "sources",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("asked", JSON, nullable=False),  # a NewSource
    Column("told", JSON, nullable=False),  # its SourceMessage
    Column("stamp", JSON, nullable=False),  # of its files, to notice that they changed
    Column("openings", Integer, nullable=False, default=0),
)

objects = Table(
    "objects",
    METADATA,
    Column("source", ForeignKey("sources.id"), primary_key=True),
    Column("object", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("colour", String(7), nullable=False),
)

edits = Table(
    "edits",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("source", ForeignKey("sources.id"), nullable=False),
    Column("object", Integer, nullable=False),
    Column("frame", Integer, nullable=False),
    Column("kind", String(10), nullable=False),  # "prompt" or "remove"
    Column("undone", Boolean, nullable=False, default=False),
    Column("prompts", JSON, nullable=False),  # as prompts_from_json reads them
    Column("entry", LargeBinary),  # the memory of the answer, from which the session goes on
    Column("mask", JSON),  # the answer: {"patch", "version", "score"}
    Index("edits_of_source", "source", "id"),
    sqlite_autoincrement=True,  # an id is never given twice, so that the order of edits is that of their ids
)

tracked = Table(
    "tracked",
    METADATA,
    Column("source", ForeignKey("sources.id"), primary_key=True),
    Column("frame", Integer, primary_key=True),
    Column("object", Integer, primary_key=True),
    Column("size", JSON, nullable=False),
    Column("box", JSON, nullable=False),
    Column("counts", Text, nullable=False),
    Column("version", String(16), nullable=False),
    Column("score", Float, nullable=False),
)

jobs = Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("source", ForeignKey("sources.id"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("asked", JSON, nullable=False),
    Column("told", JSON, nullable=False),  # its JobMessage
)


class Database:
    """The tables, read by many threads and written by one at a time.

    Args:
        url: SQLAlchemy's, as in postgresql+psycopg://user@host/name.

    Raises:
        Refusal: it was made by another version of trocar.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"), pool_size=10, max_overflow=30)
        if url.startswith("sqlite"):
            event.listen(self._engine, "connect", _prepare_sqlite)
        self._writing = threading.Lock()
        METADATA.create_all(self._engine)
        with self.write() as connection:
            schema = connection.scalar(select(facts.c.value).where(facts.c.name == "schema"))
            if schema is None:
                connection.execute(insert(facts).values(name="schema", value=SCHEMA))
            elif schema != SCHEMA:
                raise Refusal("conflict", f"the project store is of schema {schema}, not {SCHEMA}: use its own version")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of it is on disk when the block ends, or none of it."""
        with self._writing, self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view of one moment."""
        with self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()


def sqlite_url(folder: Path) -> str:
    """The URL of the store that lies in a project folder."""
    return f"sqlite:///{folder / 'trocar.sqlite'}"


def now() -> float:
    """Seconds since 1970, for what is stored."""
    return time.time()


def _prepare_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
