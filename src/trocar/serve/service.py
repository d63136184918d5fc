"""Everything that a server does, without HTTP: who asks what of which source, and in what order it is done."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from trocar.formats.volume import VolumeSource
from trocar.frames import FrameSource
from trocar.load import load, load_memory
from trocar.serve.annotation import Annotation, Equipment
from trocar.serve.classes import Classes
from trocar.serve.cleaning import Cleaning
from trocar.serve.database import Database, sqlite_url
from trocar.serve.errors import Refusal
from trocar.serve.exports import Exports
from trocar.serve.jobs import Jobs
from trocar.serve.leases import Leases
from trocar.serve.ledger import Ledger
from trocar.serve.opening import Opener, describe, shapes
from trocar.serve.pictures import Pictures
from trocar.serve.projects import Projects
from trocar.serve.said import placed_prompts
from trocar.serve.settings import ServeSettings
from trocar.serve.turns import Turns
from trocar.serve.uploads import Uploads
from trocar.wire import (
    Answer,
    ClassesWanted,
    JobMessage,
    NewSource,
    Prompting,
    Propagating,
    SourceMessage,
    from_json,
    to_json,
)

T = TypeVar("T")


class Service:
    """One server's state: the store, the model, and the sources that are open.

    Args:
        settings: see `ServeSettings`. The folder is made if need be, and is this process's alone.

    Raises:
        Refusal: another server uses the folder.
        FileNotFoundError, ValueError: no such model or memory policy.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_folder(settings.folder)
        network = load(settings.model, settings.device)
        # A network without memory takes the session's default, and so does an image set.
        self._memory = load_memory(settings.memory) if network.config.remembers else None
        self.network = network
        self.classes = Classes(network, settings.model, settings.class_model)
        self.database = Database(settings.database or sqlite_url(settings.folder))
        self.projects = Projects(self.database)
        self.opener = Opener(settings, self.projects)
        self.uploads = Uploads(settings.folder / "uploads", self.projects, settings.limits)
        self.leases = Leases(settings.lease_s)
        self.turns = Turns()
        self.jobs = Jobs(self.database, self.turns)
        self.exports = Exports(settings.folder, self.opener, self.projects, self.jobs)
        self.pictures = Pictures(self.opener, settings.folder / "views")
        self.cleaning = Cleaning(settings.folder, self.projects, self.jobs, settings.kept_s)
        self._sessions: OrderedDict[int, Annotation] = OrderedDict()
        self._opening = threading.Lock()
        self._wanted: dict[tuple[int, str], int] = {}

    def open(self, project: int, asked: NewSource) -> SourceMessage:
        """Open a source in a project; the same file asked for in the same way is the same source.

        Raises:
            Refusal, ValueError: it cannot be opened.
        """
        known = self.projects.sources(project)
        for told in known:
            if self.projects.source(told.id)[0] == asked:
                return told
        if asked.upload:
            self.uploads.keep(asked.upload)
        source = self.opener.open(asked)
        name = self.opener.locate(asked).name if asked.root or asked.upload else ""
        if asked.upload and len(self.projects.upload(asked.upload)) > 1:
            name = f"{len(source)} {'slices' if isinstance(source, VolumeSource) else 'pictures'}"
        told = describe(source, name)
        if isinstance(source, VolumeSource):
            told = replace(told, plane=asked.plane, shape=shapes(source, asked.plane))
        return self.projects.add_source(project, asked, told, self.opener.stamp(asked))

    def told(self, source: int) -> SourceMessage:
        """What a source is."""
        return self.projects.source(source)[1]

    def ledger(self, source: int) -> Ledger:
        """The stored side of a source."""
        self.told(source)
        return Ledger(self.database, source)

    def prompt(self, source: int, client: str, asked: Prompting) -> Future[Answer]:
        """Prompt an object; the answer comes when it is stored."""
        told = self.told(source)
        placed = placed_prompts(asked, told, self.ledger(source))
        return self.edit(source, client, lambda annotation: annotation.prompt(placed, asked.known))

    def edit(self, source: int, client: str, work: Callable[[Annotation], T]) -> Future[T]:
        """Have an edit made in the client's next turn.

        Raises:
            Refusal: somebody else edits the source, or it is being propagated.
        """
        self.jobs.check_idle(source)
        self.leases.take(source, client)
        get = self._annotation(source)

        def run() -> T:
            self.jobs.check_idle(source)
            return work(get())

        return self.turns.ask(client, run)

    def prepare(self, source: int, client: str, frame: int) -> None:
        """Have the network look at a frame when there is time for it."""
        told = self.told(source)
        if not 0 <= frame < told.frames:
            raise Refusal("missing", f"{told.name} has frames 0 to {told.frames - 1}: ask for one of them")
        get = self._annotation(source)

        self._wanted[source, client] = frame

        def run() -> Iterator[None]:
            # Who has gone on to another frame needs this one no more; and tracking must not jump about in a video.
            if self._wanted.get((source, client)) == frame and not self.jobs.busy(source):
                get().prepare(frame)
            yield

        self.turns.follow(f"{client} looks", run())

    def propagate(self, source: int, client: str, asked: Propagating, resume: bool = False) -> JobMessage:
        """Begin a propagation.

        Raises:
            Refusal: somebody else edits the source, it is being propagated, or nothing is prompted.
        """
        told = self.told(source)
        for name, frame in (("start", asked.start), ("stop", asked.stop)):
            if frame is not None and not 0 <= frame < told.frames:
                raise Refusal("invalid", f"{name} {frame} is outside {told.name}: frames are 0 to {told.frames - 1}")
            if frame is not None and asked.direction == "both":
                raise Refusal("invalid", f"{name} goes with one direction: propagate forward or backward")
        if not any(one.prompted for one in self.ledger(source).objects.all()):
            raise Refusal("invalid", "there is nothing to track: prompt an object first")
        self.leases.take(source, client)
        get = self._annotation(source)

        def steps(stop: threading.Event) -> Iterator[tuple[int, int]]:
            return self._leased(source, client, get().propagate(asked, resume, stop))

        return self.jobs.propagate(source, client, to_json(asked), steps)

    def find(self, source: int, client: str, asked: ClassesWanted) -> JobMessage:
        """Begin to look for objects by their classes, while everything is tracked forward anew.

        Raises:
            Refusal: there is no class model, somebody else edits the source, it is busy, or its frames do not follow
                one another.
            ValueError: there is no such class; the nearest are named.
        """
        told = self.told(source)
        self.classes.check(asked.names)
        if told.kind == "images":
            raise Refusal("invalid", f"the pictures of {told.name} do not follow one another: open a video")
        self.leases.take(source, client)
        get = self._annotation(source)

        def steps(stop: threading.Event) -> Iterator[tuple[int, int]]:
            return self._leased(source, client, get().find(self.classes.prompter(asked.names), stop))

        return self.jobs.propagate(source, client, to_json(asked), steps, "classes")

    def resume(self, job: int, client: str) -> JobMessage:
        """Go on with a propagation that was interrupted or cancelled."""
        told = self.jobs.state(job)
        if told.kind != "propagate" or told.state not in ("interrupted", "cancelled"):
            raise Refusal("invalid", "only a propagation that was interrupted or cancelled goes on: begin a new one")
        return self.propagate(told.source, client, from_json(Propagating, self.jobs.asked(job)), resume=True)

    def close(self) -> None:
        """Stop working; what is stored stays."""
        self.cleaning.close()
        self.turns.close()
        self.jobs.close()
        self.pictures.close()
        self.database.close()
        os.close(self._lock)

    @property
    def open_sessions(self) -> int:
        """How many sources are ready to be edited."""
        return len(self._sessions)

    def _leased(self, source: int, client: str, steps: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The same steps; who tracks keeps the lease."""
        for step in steps:
            with suppress(Refusal):  # if a frame took too long, it may be another's
                self.leases.take(source, client)
            yield step

    def _annotation(self, source: int) -> Callable[[], Annotation]:
        """Opens a source's files here, in the asker's thread; what it gives finishes that in the model's thread."""
        ready = self._sessions.get(source)
        if ready is not None:
            return lambda: self._ready(source, ready)
        asked, told, stamp = self.projects.source(source)
        with self._opening:
            frames = self.opener.open(asked)
        if self.opener.stamp(asked) != stamp or len(frames) != told.frames:
            raise Refusal(
                "conflict", f"{told.name} is not the file that it was: put it back, or open it as a new source"
            )
        return lambda: self._ready(source, None, frames)

    def _ready(self, source: int, ready: Annotation | None, frames: FrameSource | None = None) -> Annotation:
        """The session of a source, in the model's thread; the one used least is let go where there are too many."""
        known = self._sessions.get(source, ready)
        if known is None:
            assert frames is not None
            folder = self.settings.folder / "snapshots" / str(source)
            ordered = getattr(frames, "ordered", True)
            equipment = Equipment(self.network, self._memory if ordered else None)
            opening = self.projects.count_opening(source)
            known = Annotation(equipment, frames, Ledger(self.database, source), folder, opening)
        self._sessions[source] = known
        self._sessions.move_to_end(source)
        idle = [name for name in self._sessions if name != source and not self.jobs.busy(name)]
        for name in idle[: max(0, len(self._sessions) - self.settings.open_sessions)]:
            del self._sessions[name]
        return known


def _lock_folder(folder: Path) -> int:
    """Keep other servers out of a project folder for as long as this process lives."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows, where nothing keeps others out
        pass
    except OSError as error:
        os.close(handle)
        raise ValueError(
            f"{folder} is in use by another trocar serve: stop that one, or name another --project"
        ) from error
    return handle
