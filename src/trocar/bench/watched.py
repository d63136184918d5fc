"""A memory policy under observation: how long its own work takes, what it reads, how much it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from trocar.memory import MemoryPolicy
from trocar.memory.seam import Candidates, Choice, EntryId, FrameView, PolicySpec, ReadPlan, Record, Visit

Result = TypeVar("Result")


class WatchedPolicy:
    """Does what another policy does, and takes notes.

    Args:
        policy: decides everything.
        now: a clock, in seconds.
    """

    def __init__(self, policy: MemoryPolicy, now: Callable[[], float] = time.perf_counter) -> None:
        self.policy = policy
        self.plans: list[ReadPlan] = []  # of the newest frame
        self.read_sizes: list[int] = []  # spatial memories read, one number a row
        self.kept = 0  # most entries that were live at once
        self.seconds = 0.0  # in the policy's own code
        self._now = now

    @property
    def spec(self) -> PolicySpec:
        return self.policy.spec

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        self.plans = self._timed(lambda: self.policy.read(visit, query))
        self.read_sizes += [len(plan.spatial) for plan in self.plans]
        return self.plans

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        return self._timed(lambda: self.policy.choose(visit, candidates))

    def write(self, visit: Visit, records: list[Record]) -> None:
        self._timed(lambda: self.policy.write(visit, records))

    def live(self) -> set[EntryId]:
        live = self._timed(self.policy.live)
        self.kept = max(self.kept, len(live))
        return live

    def _timed(self, call: Callable[[], Result]) -> Result:
        start = self._now()
        result = call()
        self.seconds += self._now() - start
        return result
