"""Long work: its state is stored, its progress told, and it can be stopped within a frame."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from sqlalchemy import insert, select, update

from trocar.serve.annotation import Cancelled
from trocar.serve.database import Database, jobs
from trocar.serve.errors import Refusal, problem_of
from trocar.serve.turns import Turns
from trocar.wire import JobMessage, State, from_json, to_json

UNDER_WAY = ("waiting", "running")
TRACKING = ("propagate", "classes")

KEPT = 100
"""Ended jobs whose events can still be read again."""

Progress = Callable[[int, int], None]


class Job:
    """A job of this process.

    Args:
        told: what is said of it.
        stop: set when somebody cancels it.
        frames: numbers of the frames whose masks are stored, in the order in which they were made.
    """

    def __init__(self, told: JobMessage) -> None:
        self.told = told
        self.stop = threading.Event()
        self.frames: list[int] = []
        self._began = time.monotonic()

    def advance(self, done: int, total: int) -> None:
        """Note how far it is."""
        rate = done / max(time.monotonic() - self._began, 1e-3)
        self.told = replace(self.told, state="running", done=done, total=total, rate_hz=round(rate, 2))


class Jobs:
    """All jobs: propagations take turns with clicks on the model's thread, exports have a thread of their own.

    Args:
        database: where their states are stored. Those that an earlier process left under way are interrupted now.
        turns: the model's thread.
    """

    def __init__(self, database: Database, turns: Turns) -> None:
        self._database = database
        self._turns = turns
        self._here: dict[int, Job] = {}
        self._starting = threading.Lock()
        self._exporting = ThreadPoolExecutor(1, "trocar-export")
        with database.write() as connection:
            for row in connection.execute(select(jobs.c.id, jobs.c.told)).all():
                if row.told["state"] in UNDER_WAY:
                    told = row.told | {"state": "interrupted", "message": "the server ended: resume it"}
                    connection.execute(update(jobs).where(jobs.c.id == row.id).values(told=told))

    def propagate(
        self,
        source: int,
        client: str,
        asked: dict[str, Any],
        steps: Callable[[threading.Event], Iterator[tuple[int, int]]],
        kind: str = "propagate",
    ) -> JobMessage:
        """Begin a propagation, or a search for classes; `steps` yields (frame, frames in all) when a frame's masks are
        stored.

        Raises:
            Refusal: the source is being propagated already.
        """
        with self._starting:
            self.check_idle(source)
            job = self._begin(source, kind, asked)

        def run() -> Iterator[None]:
            try:
                if job.stop.is_set():
                    raise Cancelled
                for frame, total in steps(job.stop):
                    job.frames.append(frame)
                    job.advance(len(job.frames), total)
                    yield
            except Cancelled:
                self._end(job, "cancelled", "cancelled; what was made stays")
            except Exception as error:
                self._fail(job, error)
            else:
                self._end(job, "finished")

        self._turns.follow(f"{client} propagates", run())
        return job.told

    def export(self, source: int, asked: dict[str, Any], work: Callable[[Job], str]) -> JobMessage:
        """Begin an export; `work` gives the name of the file that it made."""
        job = self._begin(source, "export", asked)

        def run() -> None:
            try:
                job.told = replace(job.told, state="running")
                name = work(job)
                job.told = replace(job.told, file=name)
                self._end(job, "finished")
            except Cancelled:
                self._end(job, "cancelled")
            except Exception as error:
                self._fail(job, error)

        self._exporting.submit(run)
        return job.told

    def state(self, job: int) -> JobMessage:
        """How far a job is.

        Raises:
            Refusal: there is none of this number.
        """
        if job in self._here:
            return self._here[job].told
        return from_json(JobMessage, self._row(job).told)

    def asked(self, job: int) -> dict[str, Any]:
        """What a job was asked to do."""
        asked: dict[str, Any] = self._row(job).asked
        return asked

    def running(self, job: int) -> Job | None:
        """A job of this process, to watch it; None where it was an earlier one's."""
        return self._here.get(job)

    def of_source(self, source: int) -> list[JobMessage]:
        """The jobs of a source, newest first."""
        which = select(jobs.c.id, jobs.c.told).where(jobs.c.source == source).order_by(jobs.c.id.desc()).limit(100)
        with self._database.read() as connection:
            rows = connection.execute(which).all()
        return [self._here[row.id].told if row.id in self._here else from_json(JobMessage, row.told) for row in rows]

    def busy(self, source: int, *kinds: str) -> bool:
        """Whether a source is being propagated or searched for classes; of `kinds` only one of them counts."""
        there = [job.told for job in list(self._here.values()) if job.told.source == source]
        return any(told.kind in (kinds or TRACKING) and told.state in UNDER_WAY for told in there)

    def check_idle(self, source: int, *kinds: str) -> None:
        """Raises Refusal while a source is `busy`."""
        if self.busy(source, *kinds):
            raise Refusal("busy", "this source is being propagated: cancel that first, or wait until it is done")

    def cancel(self, job: int) -> JobMessage:
        """Stop a job; what it made stays."""
        if job in self._here:
            self._here[job].stop.set()
        return self.state(job)

    def close(self) -> None:
        """Stop everything. Propagations are interrupted and can be resumed when the server runs again."""
        for job in self._here.values():
            job.stop.set()
        self._exporting.shutdown(cancel_futures=True)

    def _begin(self, source: int, kind: str, asked: dict[str, Any]) -> Job:
        told = JobMessage(0, source, kind, "waiting")
        with self._database.write() as connection:
            made = connection.execute(insert(jobs).values(source=source, kind=kind, asked=asked, told=to_json(told)))
            assert made.inserted_primary_key is not None
            number = int(made.inserted_primary_key[0])
            told = replace(told, id=number)
            connection.execute(update(jobs).where(jobs.c.id == number).values(told=to_json(told)))
        for old in [name for name, one in self._here.items() if one.told.state not in UNDER_WAY][:-KEPT]:
            del self._here[old]
        self._here[number] = Job(told)
        return self._here[number]

    def _end(self, job: Job, state: State, message: str = "") -> None:
        told = replace(job.told, state=state, message=message)
        with self._database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == told.id).values(told=to_json(told)))
        job.told = told

    def _fail(self, job: Job, error: Exception) -> None:
        problem = problem_of(error)
        if problem.kind == "internal":
            logging.getLogger(__name__).exception("job %d failed", job.told.id)
        try:
            self._end(job, "failed", problem.message)
        except Exception:  # the store is what failed
            job.told = replace(job.told, state="failed", message=problem.message)

    def _row(self, job: int) -> Any:
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job)).first()
        if row is None:
            raise Refusal("missing", f"there is no job {job}: list those of the source")
        return row
