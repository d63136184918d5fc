"""Every memory policy has its page, in step with its file, and a place in the site's contents."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from source_tree import ROOT

from trocar.memory import POLICIES

FOLDER = ROOT / "docs/reference/policies"
REMEDY = "run: python scripts/policy_pages.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/policy_pages.py, as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import policy_pages  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    return policy_pages


def test_there_is_a_page_and_a_picture_for_each_policy_and_for_all(script: ModuleType) -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(script.files()), REMEDY


@pytest.mark.parametrize("name", [*sorted(POLICIES), "index"])
def test_the_page_says_what_the_policy_says_now(script: ModuleType, name: str) -> None:
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == script.files()[f"{name}.md"], REMEDY


def test_the_contents_name_every_page() -> None:
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [name for name in ("index", *POLICIES) if f"reference/policies/{name}.md" not in contents]
    assert not missing, "add them to mkdocs.yml"


def test_the_summary_in_words_is_the_golden_trace_of_recent(script: ModuleType) -> None:
    """SAM 2 at t = 100, prompted on 0: the prompt in slot 6, 94..99 in slots 5..0, pointers of 0 and 85..99."""
    (reading,) = script.readings("recent")
    assert reading.spatial == ((0, 6), (94, 5), (95, 4), (96, 3), (97, 2), (98, 1), (99, 0))
    assert sorted(reading.pointers) == [0, *range(85, 100)]
    assert script.in_words(reading).endswith("pointers of 0, 85 to 99.")
