"""Who may edit a source: one client at a time, until it leaves or has done nothing for a while."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from trocar.serve.errors import Refusal
from trocar.wire import LeaseMessage


@dataclass
class _Lease:
    client: str
    holder: str
    until: float


class Leases:
    """The leases of all sources.

    Args:
        seconds: how long one lasts without being renewed.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._leases: dict[int, _Lease] = {}
        self._lock = threading.Lock()

    def take(self, source: int, client: str, holder: str = "") -> LeaseMessage:
        """Take or renew a lease; `holder` is what others are told.

        Raises:
            Refusal: somebody else has it.
        """
        with self._lock:
            lease = self._current(source)
            if lease is not None and lease.client != client:
                left = max(1, round(lease.until - time.monotonic()))
                raise Refusal(
                    "leased",
                    f"{lease.holder} edits this source: wait until they leave (in {left} s if they stay idle), or look "
                    "without editing",
                )
            said = holder or (lease.holder if lease else "somebody")
            self._leases[source] = _Lease(client, said, time.monotonic() + self._seconds)
        return self.state(source, client)

    def state(self, source: int, client: str) -> LeaseMessage:
        """Who has it."""
        lease = self._current(source)
        if lease is None:
            return LeaseMessage()
        return LeaseMessage(lease.holder, lease.client == client, round(lease.until - time.monotonic(), 1))

    def release(self, source: int, client: str) -> LeaseMessage:
        """Give it up, if it is the client's."""
        with self._lock:
            lease = self._current(source)
            if lease is not None and lease.client == client:
                del self._leases[source]
        return self.state(source, client)

    def __len__(self) -> int:
        return sum(self._current(source) is not None for source in list(self._leases))

    def _current(self, source: int) -> _Lease | None:
        lease = self._leases.get(source)
        return lease if lease is not None and lease.until > time.monotonic() else None
