"""One thread owns the model; what several users ask of it is done in turn.

Clicks go before long work, and users take turns in each: nobody's propagation or burst of clicks keeps others waiting
for longer than one frame a user. Long work is done a step (a frame) at a time.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from trocar.serve.errors import Refusal

T = TypeVar("T")

CLICKS_IN_A_ROW = 8
"""After so many clicks one step of long work is done, so that it goes on whatever the clicking."""


class Turns:
    """The model's thread and those who wait for it.

    Args:
        most_waiting: clicks beyond so many are refused at once rather than answered late.
    """

    def __init__(self, most_waiting: int = 256) -> None:
        self._most = most_waiting
        self._quick = _Waiting()
        self._long = _Waiting()
        self._ready = threading.Condition()
        self._open = True
        self._clicks = 0
        self._thread = threading.Thread(target=self._work, name="trocar-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many clicks wait."""
        return len(self._quick)

    def ask(self, user: str, work: Callable[[], T]) -> Future[T]:
        """Have something short done in the user's next turn.

        Raises:
            Refusal: too many wait.
        """
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:  # it is the asker's, who raises it
                future.set_exception(error)

        with self._ready:
            if len(self._quick) >= self._most or not self._open:
                raise Refusal("overloaded", "too many requests wait for the model: try again in a few seconds")
            self._quick.put(user, run)
            self._ready.notify()
        return future

    def follow(self, user: str, steps: Iterator[Any]) -> None:
        """Have something long done, a step in each of the user's turns. It deals with its own errors."""

        def run() -> None:
            if next(steps, self) is not self and self._open:
                with self._ready:
                    self._long.put(user, run)

        with self._ready:
            self._long.put(user, run)
            self._ready.notify()

    def close(self) -> None:
        """Finish what is under way, and do nothing of what waits."""
        with self._ready:
            self._open = False
            self._ready.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: len(self._quick) or len(self._long) or not self._open)
                if not self._open:
                    return
                first, then = (self._quick, self._long) if self._clicks < CLICKS_IN_A_ROW else (self._long, self._quick)
                taken = first if len(first) else then
                self._clicks = self._clicks + 1 if taken is self._quick else 0
                run = taken.take()
            try:
                run()
            except Exception:  # nobody's fault may stop the thread that serves all
                logging.getLogger(__name__).exception("a piece of work failed")


class _Waiting:
    """A queue for each user, taken from in turn."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[Callable[[], None]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, user: str, run: Callable[[], None]) -> None:
        self._of.setdefault(user, deque()).append(run)
        self._count += 1

    def take(self) -> Callable[[], None]:
        """The first of the user who has waited longest for a turn."""
        self._count -= 1
        user, queue = self._of.popitem(last=False)
        run = queue.popleft()
        if queue:
            self._of[user] = queue
        return run
