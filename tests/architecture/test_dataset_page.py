"""The page of data sets is in step with their files."""

from __future__ import annotations

import sys

from source_tree import ROOT


def test_the_page_says_what_the_data_sets_say_now() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import dataset_page  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    assert dataset_page.PAGE.read_text(encoding="utf-8") == dataset_page.page(), "run: python scripts/dataset_page.py"
