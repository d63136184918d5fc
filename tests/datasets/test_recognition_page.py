"""The page of recognition sets is in step with their table."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_says_what_the_table_says_now() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import recognition_page  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    written = recognition_page.PAGE.read_text(encoding="utf-8")
    assert written == recognition_page.page(), "run: python scripts/recognition_page.py"
