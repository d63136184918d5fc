"""Write docs/reference/datasets.md: every data set of the table, from its own file."""

from __future__ import annotations

from pathlib import Path

from trocar.datasets import DATASETS
from trocar.load import load_dataset

PAGE = Path(__file__).resolve().parents[1] / "docs/reference/datasets.md"
HEAD = """\
<!-- Made by scripts/dataset_page.py from the data sets' own files: change those, then run it again. -->
# Data sets

The sets that the papers name, read in the layout that their owners distribute. None of them comes with trocar: each
row says under which licence and where to get it. `trocar datasets about NAME` shows one with its classes, splits and
files, and `trocar datasets check NAME ROOT` says what of it is there, missing or damaged.

An object id stands for all of a class (*classes*), for a thing on one frame (*instances*), or for one thing
throughout (*masklets*).
"""
KINDS = {"video": "Video", "picture": "Pictures", "volume": "Volumes"}


def page() -> str:
    """The page as it should be."""
    found = [load_dataset(name) for name in sorted(DATASETS)]
    parts = [HEAD]
    for kind, heading in KINDS.items():
        parts.append(f"\n## {heading}\n\n| name | data set | ids | splits (cases) | licence |\n|---|---|---|---|---|\n")
        for one in (one for one in found if one.frames == kind):
            splits = ", ".join(
                name + (f" ({split.cases})" if split.cases is not None else "") for name, split in one.splits.items()
            )
            place = one.obtain.split()[0].rstrip(":;,")
            parts.append(f"| `{one.name}` | [{one.title}]({place}) | {one.ids} | {splits} | {one.licence} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
