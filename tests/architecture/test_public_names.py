"""The public surface, written down: a name comes or goes only together with this list and the reference page."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from source_tree import ROOT, SRC

import trocar

PUBLIC = {
    "Box": "trocar.prompts.prompt",
    "ClassPrompt": "trocar.prompts.prompt",
    "FrameMasks": "trocar.masks.frame_masks",
    "Geometry": "trocar.geometry",
    "MaskPrompt": "trocar.prompts.prompt",
    "Point": "trocar.prompts.prompt",
    "Scribble": "trocar.prompts.prompt",
    "Session": "trocar.track.session",
    "load": "trocar.load",
    "load_memory": "trocar.load",
    "load_prompter": "trocar.load",
    "open_source": "trocar.formats",
    "write_masks": "trocar.formats",
}


def run_python(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names_are_these() -> None:
    assert sorted(trocar.__all__) == sorted([*PUBLIC, "__version__"])
    assert len(trocar.__all__) <= 15
    assert set(trocar.__all__) <= set(dir(trocar))


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_defined_at_its_home(name: str) -> None:
    value = getattr(trocar, name)
    assert value.__name__ == name
    assert value.__module__.startswith(PUBLIC[name])
    assert value.__doc__, f"{name} has no docstring"


def test_the_reference_page_names_them_all() -> None:
    page = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    assert [name for name in PUBLIC if f"`{name}" not in page] == []


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Sesion'.*Session"):
        _ = trocar.Sesion  # type: ignore[attr-defined]


def test_import_does_not_load_torch() -> None:
    modules = ["trocar", "trocar.cli", "trocar.formats", "trocar.masks", "trocar.prompts", "trocar.metrics"]
    code = (
        "import sys\nfrom importlib import import_module\n"
        f"for name in {modules}:\n    import_module(name)\n    assert 'torch' not in sys.modules, name"
    )
    run_python(code)


@pytest.mark.parametrize("first", ["import trocar.load", "from trocar import load"])
def test_load_is_the_function_whatever_was_imported_before(first: str) -> None:
    code = "import trocar; from trocar import load; import trocar.load; print(type(load).__name__, load is trocar.load)"
    assert run_python(f"{first}; {code}") == "function True"
