"""The options with which a source is opened; every verb that opens one has them."""

from __future__ import annotations

import argparse
from typing import Any

from trocar.frames import FrameSource


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what `open_asked` reads. Options that mean nothing for a format are refused when it is opened."""
    group = parser.add_argument_group("source", "how it is opened")
    group.add_argument(
        "--window", default="auto", help="CT preset, LEVEL,WIDTH, percentile, minmax, none or auto; for volumes (auto)"
    )
    group.add_argument("--plane", default="axial", help="axial, coronal or sagittal, for volumes (axial)")
    group.add_argument("--series", help="which DICOM series: its number, its UID or the UID's beginning")
    group.add_argument("--key", help="which data set of an HDF5 file")
    group.add_argument(
        "--uneven",
        default="refuse",
        choices=("refuse", "keep"),
        help="keep DICOM slices that are missing, doubled or uneven as they are, without a geometry (refuse)",
    )


def asked_of_source(options: argparse.Namespace) -> dict[str, Any]:
    """How the source is to be opened, as keywords of `open_source`; plain values, so that a run can record them.

    Raises:
        ValueError: the window is neither a name nor LEVEL,WIDTH.
    """
    window: str | list[float] = options.window
    if "," in options.window:
        try:
            level, width = (float(part) for part in options.window.split(","))
        except ValueError as error:
            message = f"--window {options.window!r}: write LEVEL,WIDTH, as in 40,400, or a preset's name"
            raise ValueError(message) from error
        window = [level, width]
    asked = {"window": window, "plane": options.plane, "series": options.series}
    return asked | {"key": options.key, "uneven": options.uneven}


def open_asked(path: str, asked: dict[str, Any]) -> FrameSource:
    """Open a source with what `asked_of_source` gives."""
    from trocar.formats import open_source

    window = asked["window"]
    return open_source(path, **asked | {"window": tuple(window) if isinstance(window, list) else window})
