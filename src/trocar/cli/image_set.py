"""`trocar segment --set`: a few prompted pictures, and all the others of a folder from memory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trocar.formats.image_set import ImageSet, open_image_set
from trocar.formats.options import OpenOptions

MEMORY = "self_sorting:bank=0"
"""The prompted pictures alone: what is found on a picture depends on no other."""


def add_set_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("image sets", "prompts name their picture: --box X0,Y0,X1,Y1@NAME")
    group.add_argument(
        "--set",
        dest="image_set",
        action="store_true",
        help="the folder's pictures do not follow one another, and may differ in size",
    )
    group.add_argument(
        "--template",
        dest="templates",
        action="append",
        default=[],
        metavar="FILE",
        help="a picture from elsewhere that joins the set; prompt it like the others",
    )
    group.add_argument("--review", type=int, metavar="N", help="draw the N least confident pictures in review.png")


def check_set_options(options: argparse.Namespace) -> None:
    """Refuse what goes with --set alone, and a review of nothing.

    Raises:
        ValueError: see above.
    """
    if not options.image_set:
        for name, value in (("--template", options.templates), ("--review", options.review)):
            if value not in ([], None):
                raise ValueError(f"{name} is for image sets: add --set if the pictures do not follow one another")
    if options.review is not None and options.review < 1:
        raise ValueError(f"--review {options.review}: at least 1 picture is shown")


def open_set(options: argparse.Namespace, opened: dict[str, Any]) -> ImageSet:
    """The set that is asked for; `opened` is what `asked_of_source` gives.

    Raises:
        FileNotFoundError, ValueError: it cannot be opened, or an option does not apply to it.
    """
    window = opened["window"]
    asked = OpenOptions(**opened | {"window": tuple(window) if isinstance(window, list) else window})
    asked.check_only(("window",), Path(options.source), "an image set")
    return open_image_set(options.source, options.templates, asked.window)


def numbered(text: str, pictures: ImageSet) -> str:
    """`...@NAME` as `...@NUMBER`; without @ it stays as it is.

    Raises:
        ValueError: no picture is called so.
    """
    said, at, name = text.rpartition("@")
    return f"{said}@{pictures.find(name)}" if at else text


def write_confidence(folder: Path, pictures: ImageSet, review: int | None) -> list[str]:
    """Write confidence.csv and, if asked for, review.png beside the masks of a finished run.

    Args:
        folder: of the run's output.
        pictures: the set.
        review: how many pictures to show; None for no sheet.

    Returns:
        What was written.
    """
    from trocar.formats.review import confidences, least_confident, write_confidences, write_review
    from trocar.formats.rle import read_rle

    masks = read_rle(folder / "masks.jsonl")
    rows = confidences(masks, pictures)
    written = [folder / "confidence.csv"]
    write_confidences(written[0], rows)
    if review is not None:
        written.append(folder / "review.png")
        write_review(written[1], masks, pictures, least_confident(rows, review))
    return [str(path) for path in written]
