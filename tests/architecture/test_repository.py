"""What is checked in works on any machine: no local paths, no package hosts, no unwanted packages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from source_tree import ROOT

TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".json", ".csv", ".sh", ".ts", ".html", ".css", ""}
MACHINE_PATH = re.compile(r"""(?:^|[\s"'`(=:])/(?:home|root|work|tmp|opt|mnt|Users)/\w""")
PACKAGE_HOST = re.compile(
    r"pypi\.org|pythonhosted|download\.pytorch|registry\.npmjs|anaconda\.(?:org|com)|//[^/\s]*pypi"
)
THIS_FILE = Path(__file__).resolve()


def checked_in_files() -> list[Path]:
    """Files that git knows or would take up; all files but hidden ones where the tree is not a repository."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        files = [ROOT / name.decode() for name in listing.stdout.split(b"\0") if name]
    else:
        files = [file for file in ROOT.rglob("*") if not any(p.startswith(".") for p in file.relative_to(ROOT).parts)]
    return [file for file in files if file.is_file()]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_HOST], ids=["machine paths", "package hosts"])
def test_text_names_no(pattern: re.Pattern[str]) -> None:
    offences = []
    for file in checked_in_files():
        if file.suffix not in TEXT or file == THIS_FILE:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line):
                offences.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not offences, "\n".join(offences)


def test_constraints_pin_the_cpu_stack_and_nothing_unwanted() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert pins["torch"] == "2.13.0"
    unwanted = re.compile(r"nvidia|triton|cuda|torchvision|timm|open.clip|ultralytics", re.IGNORECASE)
    assert not [name for name in pins if unwanted.match(name)]


def test_names_of_test_files_are_unique() -> None:
    """The folders of tests are no packages, so that pytest takes two files of one name for the same module."""
    names = [file.name for file in (ROOT / "tests").rglob("*.py") if file.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
