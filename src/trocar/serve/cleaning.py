"""What nobody needs any more is deleted, by one rule that people can know: see `Cleaning`."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from trocar.serve.errors import Refusal
from trocar.serve.jobs import UNDER_WAY, Jobs
from trocar.serve.projects import Projects

PARTS = ("uploads", "exports", "snapshots", "views")
EVERY_S = 3600.0


class Cleaning:
    """Deletes old files of a project folder when a server starts, and once an hour from then on.

    - A download goes `kept_s` seconds after it was made; what an export that did not finish has left goes at once.
    - An upload from which no source was opened goes `kept_s` seconds after its last bytes came. One that is a source
      stays, since its annotations need it.
    - Of the small copies for looking, what an earlier process left unfinished goes after the same time.

    Args:
        folder: the project folder.
        projects: knows the uploads, and which of them are sources.
        jobs: knows the exports.
        kept_s: how long things stay.
    """

    def __init__(self, folder: Path, projects: Projects, jobs: Jobs, kept_s: float) -> None:
        self._folder = folder
        self._projects = projects
        self._jobs = jobs
        self._kept_s = kept_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="trocar-cleaning", daemon=True)
        self._thread.start()

    def sweep(self) -> None:
        """Delete what the rule says, now."""
        for export in _entries(self._folder / "exports"):
            if self._is_done_with(export):
                _delete(export)
        used = self._projects.used_uploads
        for upload in _entries(self._folder / "uploads"):
            # The folder goes first: an upload without files can be announced again, files without one would stay.
            if upload.name not in used and self._is_old(upload):
                _delete(upload)
                self._projects.forget_upload(upload.name)
        for view in _entries(self._folder / "views"):
            for left in (*view.glob("proxy-*.mp4"), *view.glob("masks-*"), *view.glob(".part-*")):
                if self._is_old(left):
                    _delete(left)

    def disk_bytes(self, part: str) -> int:
        """What a part of the project folder takes; one of PARTS."""
        return sum(size for size, _ in _files(self._folder / part))

    @property
    def free_bytes(self) -> int:
        """What is left on the disk of the project folder."""
        return shutil.disk_usage(self._folder).free

    def close(self) -> None:
        """Stop sweeping."""
        self._closed.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                self.sweep()
            except Exception:  # a disk that fails is told to those who write to it; this goes on
                logging.getLogger(__name__).exception("old files could not be deleted")
            if self._closed.wait(EVERY_S):
                return

    def _is_done_with(self, export: Path) -> bool:
        try:
            state = self._jobs.state(int(export.name)).state
        except (ValueError, Refusal):  # nobody's
            return self._is_old(export)
        return state not in UNDER_WAY and (state != "finished" or self._is_old(export))

    def _is_old(self, path: Path) -> bool:
        newest = max((when for _, when in _files(path)), default=0.0)
        try:
            return max(newest, path.stat().st_mtime) < time.time() - self._kept_s
        except FileNotFoundError:
            return False


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files(path: Path) -> Iterator[tuple[int, float]]:
    """(bytes, time of the last change) of a file, or of every file in a folder; what vanishes meanwhile is left out."""
    if path.is_file():
        found = [str(path)]
    else:
        found = [os.path.join(place, name) for place, _, names in os.walk(path) for name in names]
    for name in found:
        try:
            stat = os.stat(name)
        except FileNotFoundError:
            continue
        yield stat.st_size, stat.st_mtime


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
