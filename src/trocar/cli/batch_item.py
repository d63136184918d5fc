"""One item of a batch: one source, segmented into one folder, wherever the process that does it runs.

The folder says in item.json what was asked, as a digest, and how far that came. An item that is done is left alone,
one that was cut off goes on from its snapshots, and one of which something else is asked now begins anew.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

NOTE = "item.json"
LOCK = ".lock"
PATIENCE_S = 60.0  # a process of a node that was lost may live a little longer than its node

Status = Literal["done", "kept", "failed", "waiting"]
"""Done now, done before, failed, or not come to."""


@dataclass(frozen=True)
class Item:
    """What is asked of one source.

    Args:
        name: of the item: its folder, within the batch's.
        options: of `trocar segment`, with the `source`; paths in it are absolute.
        folder: where its masks go, absolute.
        digest: tells what is asked: of all that decides about the masks, weights included.
    """

    name: str
    options: argparse.Namespace
    folder: Path
    digest: str


@dataclass(frozen=True)
class Outcome:
    """How an item ended: what there is to say of it in the summary, and the warnings on the way."""

    item: str
    status: Status
    frames: int = 0
    seconds: float = 0.0
    error: str = ""
    notes: tuple[str, ...] = ()


def kept(item: Item) -> Outcome | None:
    """The outcome of an item that is done, as its folder says; None where it is not, or something else was asked."""
    note = _note(item.folder)
    if note.get("asked") != item.digest or note.get("status") != "done":
        return None
    if not all((item.folder / name).exists() for name in note["outputs"]):
        return None
    return Outcome(item.name, "kept", note["frames"], note["seconds"])


def run_item(item: Item) -> Outcome:
    """Segment one source, or go on where an earlier attempt was cut off. What goes wrong is part of the outcome.

    Raises:
        KeyboardInterrupt: after all finished frames are on disk.
    """
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as said:
        try:
            with _alone(item.folder):
                outcome = kept(item) or _carried_out(item, began)
        except Exception as error:  # whatever it is, the other items go on
            outcome = Outcome(item.name, "failed", seconds=_since(began), error=_one_line(error))
    notes = dict.fromkeys(" ".join(str(one.message).split()) for one in said)
    return Outcome(outcome.item, outcome.status, outcome.frames, outcome.seconds, outcome.error, tuple(notes))


def _carried_out(item: Item, began: float) -> Outcome:
    from trocar.cli.run import REQUEST, STATE, Output
    from trocar.cli.segment import segmented

    folder, note = item.folder, _note(item.folder)
    same = note.get("asked") == item.digest
    if note and not same:
        _clear(folder)
    # Where going on has failed once, the next attempt begins anew: what lies there may be what is wrong.
    resume = same and note["status"] != "stuck" and (folder / STATE / REQUEST).is_file()
    asked = {"asked": item.digest, "status": "begun"}
    _write(folder, asked)
    options = copy.deepcopy(item.options)
    try:
        record = segmented(options, Output(folder, tuple(options.formats), resume), lambda what, done, total: None)
    except Exception:
        _write(folder, asked | {"status": "stuck" if resume else "begun"})
        raise
    done = {
        "status": "done",
        "frames": record["source"]["frames"],
        "seconds": _since(began),
        "outputs": [str(Path(path).relative_to(folder)) for path in record["outputs"]],
    }
    _write(folder, asked | done)
    return Outcome(item.name, "done", done["frames"], done["seconds"])


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)


def _one_line(error: Exception) -> str:
    """An error in a line; one that nobody foresaw with the place where it happened."""
    said = " ".join(str(getattr(error, "strerror", None) or error).split())
    if isinstance(error, (ValueError, OSError)):
        return said
    if isinstance(error, MemoryError) or "out of memory" in said:
        return "out of memory: run fewer at once, or choose a smaller --model"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {said} ({Path(place.filename).name}, line {place.lineno})"


def _note(folder: Path) -> dict[str, Any]:
    """What the folder says of itself; nothing where it says nothing that can be read."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write(folder: Path, note: dict[str, Any]) -> None:
    from trocar.formats import write_run_record

    write_run_record(folder / NOTE, note)


def _clear(folder: Path) -> None:
    """Remove what was made when something else was asked; files of others stay."""
    from trocar.cli.run import STATE
    from trocar.formats import FORMATS
    from trocar.formats.output import JOURNAL

    made = {info.output for info in FORMATS.values() if info.writes}
    for name in (*made, STATE, JOURNAL, f"{JOURNAL}.part", "run.json", "confidence.csv", "review.png", NOTE):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process that works on a folder.

    Raises:
        ValueError: another one does, and goes on doing so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows, where nothing keeps others out
            yield
            return
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise ValueError(f"another process works on {folder}: wait until it has ended") from error
                time.sleep(0.2)
        yield
