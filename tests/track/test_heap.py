"""Freed memory goes back to the system."""

from __future__ import annotations

import pytest

from trocar.machine import resident_mb
from trocar.track.heap import _trim, give_back_memory

BLOCK, COUNT = 60_000, 2_000  # 120 MB in blocks that glibc keeps in its heap


@pytest.mark.skipif(_trim() is None, reason="this C library does not give back what lies between what is in use")
def test_holes_between_what_is_in_use_are_given_back() -> None:
    blocks = [bytearray(BLOCK) for _ in range(COUNT)]
    kept = blocks[:: COUNT // 4] + blocks[-1:]
    full = resident_mb()
    del blocks
    give_back_memory()
    assert resident_mb() < full - 0.8 * BLOCK * COUNT / (1 << 20)
    assert all(len(one) == BLOCK for one in kept)
