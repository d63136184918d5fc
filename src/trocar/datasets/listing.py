"""Names of cases from names of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trocar.formats.images import natural_key


def names_between(folder: Path, before: str, after: str) -> list[str]:
    """What stands between two texts in the names of a folder's files, in natural order; [] without such a folder."""
    found = folder.iterdir() if folder.is_dir() else iter(())
    fits = (path.name for path in found if path.name.startswith(before) and path.name.endswith(after))
    return in_order(name[len(before) : len(name) - len(after)] for name in fits if not name.startswith("."))


def in_order(names: Iterable[str]) -> list[str]:
    """Each name once, in natural order."""
    return sorted(set(names), key=natural_key)
