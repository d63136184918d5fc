"""A file is whole or not there, also when two write it at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trocar.formats.whole_file import sweep, whole_file


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Each has a name of its own while it writes; the one that ends later counts."""
    path = tmp_path / "picture.png"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_bytes(b"first" * 100)
        second.write_bytes(b"second")
        assert first != second
        assert {first.suffix, second.suffix} == {".png"}
        assert not path.exists()
    assert path.read_bytes() == b"first" * 100
    assert list(tmp_path.iterdir()) == [path]


WRITE = """
import sys
from pathlib import Path
from trocar.formats.whole_file import whole_file
for _ in range(100):
    with whole_file(Path(sys.argv[1])) as part:
        part.write_text(sys.argv[2] * 50_000)
"""


def test_two_processes_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shared.txt"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), letter]) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            seen.add(path.read_text())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {"a" * 50_000, "b" * 50_000}
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("before")

    def fail() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_sweep_takes_what_a_killed_process_left(tmp_path: Path) -> None:
    code = "import os, sys\n" + WRITE.replace("part.write_text(sys.argv[2] * 50_000)", "part.touch(); os._exit(9)")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.png"), "a"], check=False)
    (tmp_path / "mine.png").touch()
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
