"""The documentation builds, and what it tells people to type exists."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

import trocar
from trocar.bench.protocol import protocol_class
from trocar.bench.protocols import PROTOCOLS
from trocar.recognition.recipe import RecognitionRecipe
from trocar.recognition.vlm_endpoint import Endpoint
from trocar.recognition.vlm_run import VlmRecipe
from trocar.settings import field_values

PAGES = [
    ROOT / "README.md",
    ROOT / "docs/index.md",
    *(page for part in ("tutorial", "how-to", "reference") for page in (ROOT / "docs" / part).glob("*.md")),
]
#: What the command line takes from dataclasses: the settings of protocols and of recipes.
FILLED = [
    *(protocol_class(protocol)() for protocol in PROTOCOLS),
    RecognitionRecipe(("rendered",)),
    VlmRecipe(("rendered",), Endpoint("http://localhost", "NAME")),
]
SETTINGS = {f"--{name.replace('_', '-')}" for filled in FILLED for name in field_values(filled)}
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_examples_use_names_that_exist(page: Path) -> None:
    for example in FENCE.findall(page.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module == "trocar":
                assert {alias.name for alias in node.names} <= set(trocar.__all__)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "session":
                assert hasattr(trocar.Session, node.attr), f"Session has no {node.attr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_options_that_a_page_names_exist(page: Path) -> None:
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+(?![\w.-])", page.read_text(encoding="utf-8"))) - {"--help"}
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src/trocar/cli").glob("*.py"))
    assert [option for option in sorted(options) if f'"{option}"' not in source and option not in SETTINGS] == []
