"""FoundObjects: which things a case has, looked up in its files when somebody first asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property


class FoundObjects(Mapping[int, str]):
    """Object id -> class name for a case whose files alone say which objects it has.

    Listing the cases of a set must not read all its masks, so they are read when the first id is asked for.

    Args:
        look: gives the ids and names. It passes over files that cannot be read: reading their frames says what is
            wrong with them.
    """

    def __init__(self, look: Callable[[], Mapping[int, str]]) -> None:
        self._look = look

    @cached_property
    def _found(self) -> Mapping[int, str]:
        return self._look()

    def __getitem__(self, number: int) -> str:
        return self._found[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)
