"""The store, on SQLite and on a real PostgreSQL: what it keeps, and that undone edits go only when others are made."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trocar.masks import FrameMasks
from trocar.prompts import Box, PlacedPrompt, Point
from trocar.serve.database import Database, sqlite_url
from trocar.serve.errors import Refusal
from trocar.serve.ledger import Edit, Ledger
from trocar.serve.projects import Projects
from trocar.wire import MaskMessage, NewSource, SourceMessage, apply_patch, make_patch, mask_version

SIZE = (6, 8)


def postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty data base in a server of its own, on a free port."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here")
    as_user: list[str] = []
    folder = tmp_path_factory.mktemp("postgres")
    if os.geteuid() == 0:  # the server refuses to run as root
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and runuser is not installed here")
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
        for parent in folder.parents[:3]:
            if parent != Path("/tmp") and parent.owner() == "root":
                parent.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    run = {"check": True, "capture_output": True, "cwd": "/"}
    subprocess.run([*as_user, str(programs / "initdb"), "-D", str(data), "-U", "trocar", "-A", "trust"], **run)
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(data), "-w"]
    subprocess.run([*control, "-l", str(folder / "log"), "-o", settings, "start"], **run)
    yield f"postgresql+psycopg://trocar@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "fast", "stop"], **run)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database, request: pytest.FixtureRequest) -> Ledger:
    projects = Projects(database)
    project = projects.create(request.node.name)
    told = SourceMessage(0, 0, "clip.mp4", "video", 10, list(SIZE))
    source = projects.add_source(project.id, NewSource(root="a", path="clip.mp4"), told, [1, "x"])
    return Ledger(database, source.id)


def mask_of(row: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    mask[row, 2:5] = True
    return mask


def prompting(object_id: int, frame: int, row: int) -> Edit:
    mask = mask_of(row)
    answer = MaskMessage(object_id, frame, make_patch(mask), mask_version(mask), 0.5, True)
    return Edit(object_id, frame, [PlacedPrompt(Point(1, row), frame, object_id)], b"memory %d" % row, answer)


def shown(ledger: Ledger) -> dict[tuple[int, int], int]:
    """The row that each (object, frame) shows."""
    return {(one.object, one.frame): int(apply_patch(one.patch).any(axis=1).argmax()) for one in ledger.masks(0, 9)}


def test_answers_lie_over_what_tracking_found(ledger: Ledger) -> None:
    ledger.objects.add()
    ledger.record(prompting(1, 0, 1))
    for frame in range(3):
        ledger.keep(FrameMasks(frame, {1: mask_of(4)}, {1: 0.7}))
    assert shown(ledger) == {(1, 0): 1, (1, 1): 4, (1, 2): 4}
    ledger.keep(FrameMasks(1, {1: mask_of(5)}, {1: 0.8}))
    ledger.keep(FrameMasks(2, {1: mask_of(0)}, {1: 0.9}, frozenset({1})))
    assert shown(ledger) == {(1, 0): 1, (1, 1): 5, (1, 2): 4}
    (scores,) = ledger.confidence()
    assert (scores.frames, scores.scores, scores.prompted) == ([0, 1, 2], [0.5, 0.8, 0.7], [0])


def test_undo_goes_back_step_by_step_and_redo_forth(ledger: Ledger) -> None:
    ledger.objects.add()
    for row in (1, 2, 3):
        ledger.record(prompting(1, 0, row))
    rows = []
    for undo in (True, True, False, True, True, False):
        ledger.flip(undo)
        rows.append(shown(ledger).get((1, 0)))
    assert rows == [2, 1, 2, 1, None, 1]
    assert [one.entry for one in ledger.given(1)] == [b"memory 1"]
    ledger.record(prompting(1, 0, 5))
    assert [len(part) for part in (ledger.history().edits, ledger.history().undone)] == [2, 0]
    with pytest.raises(Refusal, match="nothing to redo"):
        ledger.flip(False)


def test_a_removed_object_is_gone_until_its_removal_is_undone(ledger: Ledger) -> None:
    for name in ("a", "b"):
        ledger.objects.add(name)
    ledger.record(prompting(1, 0, 1))
    ledger.record(prompting(2, 0, 2))
    ledger.record(Edit(1, 0))
    assert shown(ledger) == {(2, 0): 2}
    assert [one.name for one in ledger.objects.all()] == ["b"]
    assert ledger.given(1) == []
    assert ledger.objects.add().id == 3
    ledger.flip(True)
    assert shown(ledger) == {(1, 0): 1, (2, 0): 2}


def test_an_edit_is_stored_whole_or_not_at_all(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the undone edits that it would have replaced are still there when it fails."""
    ledger.objects.add()
    ledger.record(prompting(1, 0, 1))
    ledger.flip(True)
    broken = prompting(1, 0, 2)
    object.__setattr__(broken, "entry", object())
    with pytest.raises(Exception, match=r"."):
        ledger.record(broken)
    assert len(ledger.history().undone) == 1
    ledger.flip(False)
    assert shown(ledger) == {(1, 0): 1}


def test_sources_do_not_mix(database: Database, ledger: Ledger) -> None:
    ledger.objects.add()
    ledger.record(prompting(1, 0, 1))
    told = SourceMessage(0, 0, "other.mp4", "video", 10, list(SIZE))
    project = Projects(database).all()[-1].id
    other = Ledger(database, Projects(database).add_source(project, NewSource(root="b"), told, [1, "y"]).id)
    assert other.objects.all() == []
    with pytest.raises(Refusal, match="nothing to undo"):
        other.flip(True)


def test_names_are_unique_and_printable(database: Database) -> None:
    projects = Projects(database)
    projects.create("larynx names")
    with pytest.raises(Refusal, match="already"):
        projects.create(" larynx names ")
    for name in ("", "   ", "a\nb", "x" * 201, "\ud800", "\0"):
        with pytest.raises(Refusal):
            projects.create(name)


def test_sqlite_writes_ahead_and_waits_for_the_disk(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()


def test_prompts_come_back_as_they_were_said(ledger: Ledger) -> None:
    ledger.objects.add()
    said = [PlacedPrompt(Box(1, 1.5, 4, 5), 2, 1), PlacedPrompt(Point(3, 3, False), 2, 1)]
    edit = prompting(1, 2, 3)
    ledger.record(Edit(1, 2, said, b"memory", edit.mask))
    from trocar.prompts import prompts_from_json

    assert prompts_from_json(ledger.given(1)[0].prompts) == said
