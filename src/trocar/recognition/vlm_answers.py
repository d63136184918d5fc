"""Answers of vision-language models in a SQLite file: each is on disk before it counts, and none is asked for twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType

COLUMNS = "asked TEXT PRIMARY KEY, clip TEXT, prompt TEXT, answer TEXT NOT NULL"


class AnswerStore:
    """Answers by a hash of everything that was asked.

    Raises:
        ValueError: the file is no such store.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False)
        try:
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS answers ({COLUMNS})")
            self._connection.commit()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise ValueError(f"{path} is no file of answers ({error}): remove it, or give another folder") from error

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def known(self, asked: str) -> str | None:
        """The answer to a question; None where there is none yet."""
        row = self._connection.execute("SELECT answer FROM answers WHERE asked = ?", (asked,)).fetchone()
        return None if row is None else str(row[0])

    def keep(self, asked: str, clip: str, prompt: str, answer: str) -> None:
        """Write an answer; it is on disk when this returns."""
        self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", (asked, clip, prompt, answer))
        self._connection.commit()
