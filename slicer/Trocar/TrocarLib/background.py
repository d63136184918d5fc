"""Work that takes time, in a thread of its own: the window asks every now and then what has come of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

Tell = Callable[[str, Any], None]
"""Says (kind, value) to whoever polls."""


class Stop:
    """A wish to end early. Whoever waits for an answer elsewhere says how to have that cut short."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._calls: list[Callable[[], Any]] = []

    def __bool__(self) -> bool:
        return self._wanted.is_set()

    def when_wanted(self, call: Callable[[], Any]) -> None:
        """Call this, in a thread, once somebody wants to stop; at once if somebody did."""
        with self._lock:
            if not self._wanted.is_set():
                self._calls.append(call)
                return
        _in_thread(call)

    def want(self) -> None:
        """Stop. Returns at once."""
        with self._lock:
            self._wanted.set()
            calls, self._calls = self._calls, []
        for call in calls:
            _in_thread(call)


Work = Callable[[Tell, Stop], Any]


class Background:
    """One piece of work at a time."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._stop = Stop()
        self.busy = False

    def start(self, work: Work) -> None:
        """Begin; `work` must not touch the scene or the window.

        Raises:
            ValueError: something is under way.
        """
        if self.busy:
            raise ValueError("something is under way: wait until it is done, or cancel it")
        self.busy, self._stop = True, Stop()
        stop = self._stop

        def run() -> None:
            try:
                value = work(lambda kind, said: self._told.put((kind, said)), stop)
            except Exception as error:
                self._told.put(("failed", error))
            else:
                self._told.put(("done", value))

        threading.Thread(target=run, name="trocar", daemon=True).start()

    def cancel(self) -> None:
        """Ask the work to end; it is over when `poll` says done or failed."""
        self._stop.want()

    def poll(self) -> list[tuple[str, Any]]:
        """What was said since the last time; never waits. The last of all is ("done", value) or ("failed", error)."""
        found = []
        while True:
            try:
                kind, value = self._told.get_nowait()
            except queue.Empty:
                return found
            if kind in ("done", "failed"):
                self.busy = False
            found.append((kind, value))


def _in_thread(call: Callable[[], Any]) -> None:
    def quietly() -> None:
        try:
            call()
        except Exception:  # what it wanted to cut short says itself how it ended
            return

    threading.Thread(target=quietly, name="trocar-stop", daemon=True).start()
