"""Stored masks as files to take away, through the writers of `trocar.formats`."""

from __future__ import annotations

import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from trocar.formats import FORMATS, MaskOutput, ObjectInfo
from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource
from trocar.masks import FrameMasks
from trocar.serve.annotation import Cancelled
from trocar.serve.errors import Refusal
from trocar.serve.jobs import Job, Jobs
from trocar.serve.ledger import Ledger
from trocar.serve.opening import Opener
from trocar.serve.projects import Projects
from trocar.wire import JobMessage, apply_patch

AT_A_TIME = 32
"""Frames whose masks are read from the store at once."""


def check_format(name: str) -> None:
    """Raises Refusal where masks cannot be written in a format of that name."""
    if name not in FORMATS or not FORMATS[name].writes:
        writable = ", ".join(one for one, info in FORMATS.items() if info.writes)
        raise Refusal("invalid", f"masks cannot be downloaded as {name[:40]!r}: choose one of {writable}")


def stored_masks(ledger: Ledger, length: int) -> Iterator[FrameMasks]:
    """The masks that count now, frame by frame; frames without any are left out."""
    for first in range(0, length, AT_A_TIME):
        found: dict[int, FrameMasks] = {}
        for one in ledger.masks(first, min(length, first + AT_A_TIME) - 1):
            frame = found.get(one.frame, FrameMasks(one.frame, {}))
            masks = {**frame.masks, one.object: apply_patch(one.patch)}
            scores = {**frame.scores, one.object: one.score}
            prompted = frame.prompted | ({one.object} if one.prompted else set())
            found[one.frame] = FrameMasks(one.frame, masks, scores, frozenset(prompted))
        for number in sorted(found):
            yield found[number]


def export(folder: Path, ledger: Ledger, source: FrameSource, name: str, job: Job | None = None) -> Path:
    """Write all masks in a format, and give the file: a zip for formats of one file a frame.

    Raises:
        Refusal: an unknown format, or nothing to write.
        ValueError: the format cannot hold these masks.
        Cancelled: the job was cancelled.
    """
    check_format(name)
    folder.mkdir(parents=True, exist_ok=True)
    total = len(source)

    def progress(file: str, done: int, of: int) -> None:
        if job is not None:
            if job.stop.is_set():
                raise Cancelled
            job.advance(done, max(of, done))

    objects = {one.id: ObjectInfo(one.name) for one in ledger.objects.all()}
    with MaskOutput(folder, source, (name,), progress=progress, objects=objects) as output:
        for masks in stored_masks(ledger, total):
            output.write(masks)
            progress("", masks.frame + 1, total)
        if not output.done:
            raise Refusal("invalid", "there are no masks to download: prompt an object first")
    made = folder / FORMATS[name].output
    return _packed(made) if made.is_dir() else made


class Exports:
    """Downloads of a server's masks.

    Args:
        folder: the project folder.
        opener: opens sources.
        projects: knows them.
        jobs: do the work.
    """

    def __init__(self, folder: Path, opener: Opener, projects: Projects, jobs: Jobs) -> None:
        self._folder = folder
        self._opener = opener
        self._projects = projects
        self._jobs = jobs

    def begin(self, ledger: Ledger, name: str) -> JobMessage:
        """Begin to write the masks of a source in a format.

        Raises:
            Refusal: an unknown format.
        """
        check_format(name)
        asked, told, _ = self._projects.source(ledger.source)

        def work(job: Job) -> str:
            frames = self._opener.open(asked)
            made = export(self._place(job.told.id), ledger, frames, name, job)
            return f"{told.name.split('.')[0]}-{made.name}"

        return self._jobs.export(ledger.source, {"format": name}, work)

    def finished(self, job: int) -> tuple[Path, str]:
        """The file that an export made, and what to call it.

        Raises:
            Refusal: it has not finished.
        """
        told = self._jobs.state(job)
        if told.kind != "export" or told.state != "finished":
            raise Refusal("missing", f"job {job} has no file: wait until its state is finished")
        output = FORMATS[self._jobs.asked(job)["format"]].output
        found = [path for path in (self._place(job) / output, self._place(job) / f"{output}.zip") if path.is_file()]
        if not found:
            raise Refusal("missing", f"the file of job {job} is gone: export again")
        return found[0], told.file

    def label_volume(self, ledger: Ledger) -> Path:
        """All masks of a volume as a NIfTI label volume; written anew each time.

        Raises:
            Refusal, ValueError: there are none, or the source does not say where it lies.
        """
        asked, _, _ = self._projects.source(ledger.source)
        # Two at once must not write to one place; a thread's next one replaces its last.
        folder = self._folder / "views" / str(ledger.source) / f"masks-{threading.get_ident()}"
        return export(folder, ledger, self._opener.open(asked), "nifti")

    def _place(self, job: int) -> Path:
        return self._folder / "exports" / str(job)


def _packed(folder: Path) -> Path:
    path = folder.with_name(f"{folder.name}.zip")
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    shutil.rmtree(folder)
    return path
