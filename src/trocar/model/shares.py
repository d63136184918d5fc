"""Threads that two computations share, such as one frame's tracking and the next one's encoding.

PyTorch knows how many threads an operation has, not how many others have just now. Whoever lets two computations go
side by side says it here, to each in its own thread; one that nobody said anything to has what PyTorch has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch


class _Said(threading.local):
    now: Callable[[], int] | None = None
    together: int | None = None


_SAID = _Said()


def share_threads(now: Callable[[], int] | None = None, together: int | None = None) -> None:
    """What this thread's computations may take from now on.

    Args:
        now: asked between the parts of a long computation: how many threads the next part's operations have.
        together: how many threads both computations have; None for those of an operation.
    """
    _SAID.now, _SAID.together = now, together


def take_share() -> None:
    """To be called between the parts of a long computation: threads that others do not need any more join the next."""
    if _SAID.now is not None and (count := _SAID.now()) != torch.get_num_threads():
        torch.set_num_threads(count)


def threads_together() -> int:
    """Threads for work that meets once, at its end: those of the other computation too, as it may be idle."""
    return _SAID.together or torch.get_num_threads()
