"""The page that ships was built from the sources beside it, and asks nobody else for anything."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB, BUILT = ROOT / "web", ROOT / "src/trocar/serve/web"
SOURCES = ("index.html", "licences", "package-lock.json", "package.json", "src", "tsconfig.json", "vite.config.ts")
MOST_BYTES = 2_500_000


def source_files() -> list[str]:
    found = []
    for name in SOURCES:
        path = WEB / name
        found += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sorted(file.relative_to(WEB).as_posix() for file in found)


def test_the_page_was_built_from_these_sources() -> None:
    digest = hashlib.sha256()
    for name in source_files():
        digest.update(f"{name}\n".encode() + (WEB / name).read_bytes() + b"\n")
    message = "the sources of the page changed: run `make web` and check its output in"
    assert (BUILT / "built-from.txt").read_text().strip() == digest.hexdigest(), message


def test_every_file_that_the_page_names_is_there() -> None:
    for file in [BUILT / "index.html", *BUILT.glob("assets/*.js")]:
        for name in re.findall(r"[\"'./]assets/([\w.-]+\.(?:js|css))", file.read_text(encoding="utf-8")):
            assert (BUILT / "assets" / name).is_file(), f"{file.name} names {name}"


def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in BUILT.rglob("*") if file.is_file()) < MOST_BYTES


def test_the_page_itself_names_no_other_host() -> None:
    """NiiVue's code has addresses of its makers in it; tests of the running page see that none is asked."""
    for file in [BUILT / "index.html", *BUILT.glob("assets/index-*")]:
        found = re.findall(r"https?://[\w.-]+", file.read_text(encoding="utf-8"))
        assert set(found) <= {"http://www.w3.org"}, file.name


@pytest.mark.slow
def test_building_again_gives_the_same_files(tmp_path: Path) -> None:
    if shutil.which("node") is None or not (WEB / "node_modules").is_dir():
        pytest.skip("there is no node, or web/node_modules is not installed: `make web` sets it up")
    command = ["node", "node_modules/vite/bin/vite.js", "build", "--outDir", str(tmp_path / "built")]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {file.relative_to(tmp_path / "built"): file.read_bytes() for file in (tmp_path / "built").rglob("*.*")}
    kept = {file.relative_to(BUILT): file.read_bytes() for file in BUILT.rglob("*.*")}
    assert {name: made[name] for name in made if name.name != "built-from.txt"} == {
        name: kept[name] for name in kept if name.name != "built-from.txt"
    }
