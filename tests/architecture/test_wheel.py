"""The wheel carries everything that the source tree does, and works installed elsewhere."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from source_tree import ROOT, SRC

pytestmark = pytest.mark.slow


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), folder=ROOT)
    return next(folder.glob("*.whl"))


def test_it_carries_every_file_of_the_package(wheel: Path) -> None:
    in_tree = {file.relative_to(SRC).as_posix() for file in (SRC / "trocar").rglob("*") if file.is_file()}
    wanted = {name for name in in_tree if "__pycache__" not in name and not name.endswith(".part")}
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert carried == wanted


def test_the_default_model_loads_from_an_installation_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Installed into a folder of its own and started from another one, with the clone out of reach."""
    site = tmp_path / "site"
    run(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel), folder=tmp_path
    )
    code = (
        f"import sys; sys.path = [{str(site)!r}, *(p for p in sys.path if p != {str(SRC)!r})]\n"
        "import trocar; trocar.load('nano'); print(trocar.__file__)"
    )
    assert Path(run("-c", code, folder=tmp_path)).is_relative_to(site)
