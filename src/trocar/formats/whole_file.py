"""Files that are either whole or not there: each is written beside its place and moved in when it is finished."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)
PART = ".part-"  # begins the names of files that are being written


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Say which file a full disk stopped: OSError with the same number and a one-line message."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        message = f"the disk is full, {path} could not be written: free some space, then resume"
        raise OSError(error.errno, message) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and move it to `path` when the block ends well; else nothing is left.

    The temporary name keeps the ending of `path`, because libraries choose the format by it. It is another one each
    time: where two processes write the same file, the later one counts, and it is whole. What a killed process leaves
    is hidden and counts for nothing; `sweep` removes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PART}{secrets.token_hex(4)}-{path.name}")
    try:
        with naming_full_disk(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed processes left half-written, in a folder or of its file `name`, that nobody writes now."""
    for path in folder.glob(f"{PART}*{name}"):
        path.unlink(missing_ok=True)


def write_run_record(path: str | Path, record: dict[str, Any]) -> None:
    """Write run.json: what ran, versions, prompts, timings. Values JSON does not know are written as their text."""
    with whole_file(Path(path)) as temporary:
        temporary.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
