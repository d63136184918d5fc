"""Write docs/reference/recognition.md from the table of recognition sets; `--check` only says whether it is in step."""

from __future__ import annotations

import sys
from pathlib import Path

from trocar.datasets.recognition_sets import RecognitionSet, recognition_sets

PAGE = Path(__file__).parents[1] / "docs/reference/recognition.md"

HEAD = """# Recognition sets

SurgRec's 16 downstream sets, as `trocar bench recognition-sets` lists them. Written by `scripts/recognition_page.py`
from `datasets/recognition_sets.toml`; do not edit.

A set lies in a folder of its name under `TROCAR_DATA`, as its owners pack it. A clip is a stretch of a video (or one
picture) with a class, a case and a recording. Where a layout could not be confirmed in the owners' documents or in
public code that reads their files, its line says so: look at a few clips yourself before you trust its scores.

`splits.csv` in a set's folder (columns `case`, `part`) goes before the split given here. Licences are what the owners
or SurgRec's release state; read the owners' terms.

| set | domain | task | classes | split | layout | licence |
|---|---|---|---|---|---|---|
"""

LAST = """
## Files of a run

| file | what it is |
|---|---|
| `recipe.toml` | the recipe with all its values |
| `cells/TASK-SEED.json` | scores, what was chosen on validation, labels and predictions of the test clips |
| `recognizers/TASK-SEED.safetensors` | encoder, head, classes and stride, all weights in float32 |
| `features/*.npy` | tokens of a frozen encoder, memory-mapped, with `*.done.npy` beside them |
| `results.json` | all cells; domains, macro and worst over the seeds |
| `vlm.json`, `answers.sqlite` | of `trocar bench vlm`: figures, and every answer as it came |
"""


def page() -> str:
    """The whole page."""
    sets = recognition_sets().values()
    lines = [
        f"| [{one.name}](#{one.name}) | {one.domain} | {one.task} | {len(one.classes)} | {one.split} "
        f"| {'confirmed' if one.confirmed else 'not confirmed'} | {one.licence} |"
        for one in sets
    ]
    return HEAD + "\n".join(lines) + "\n" + "".join(_section(one) for one in sets) + LAST


def _section(one: RecognitionSet) -> str:
    wanted = one.files.get("clips") or one.files["labels"]
    reads = f"`{wanted}`" + (f" and `{one.files['video']}`" if "video" in one.files else "")
    note = f"\n{one.note}\n" if one.note else ""
    return (
        f"\n## {one.name}\n\n{one.title}. {one.citation}. From <{one.obtain}>.\n\n"
        f"Reads {reads}. Split: {one.split_from}.\n{note}\nClasses: {', '.join(one.classes)}.\n"
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else "run: python scripts/recognition_page.py")
    PAGE.write_text(page(), encoding="utf-8")
