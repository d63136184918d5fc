"""`trocar convert`: masks from one format to another."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    from trocar.formats import DROPPABLE, FORMATS

    readable = [name for name, info in FORMATS.items() if info.read_masks is not None]
    writable = [name for name, info in FORMATS.items() if info.writes]
    parser.set_defaults(run=convert)
    parser.add_argument("input", metavar="IN", type=Path, help="masks: a file or a folder")
    parser.add_argument("output", metavar="OUT", type=Path, help="what to write; nothing may be there yet")
    parser.add_argument("--from", dest="read_as", choices=readable, help="the format of IN (told by its content)")
    parser.add_argument("--to", dest="write_as", choices=writable, help="the format of OUT (told by its ending)")
    parser.add_argument("--source", type=Path, help="the pictures or volume that the masks belong to")
    parser.add_argument("--series", help="which DICOM series of SOURCE: its number or UID")
    parser.add_argument(
        "--overlap",
        default="refuse",
        choices=("refuse", "highest", "lowest"),
        help="where objects overlap and OUT holds one a pixel: which id counts (refuse)",
    )
    parser.add_argument(
        "--ids",
        default="refuse",
        choices=("refuse", "renumber"),
        help="where OUT does not hold an object's id (refuse)",
    )
    parser.add_argument("--drop", nargs="+", default=[], choices=DROPPABLE, help="what may be lost")
    parser.add_argument("--name", action="append", default=[], metavar="ID=NAME", help="what an object is called")
    parser.add_argument("--terms", type=Path, metavar="FILE", help="coded terms of your own by name, as TOML")
    parser.add_argument("--threshold", type=float, metavar="PART", help="what counts as inside a fractional mask, 0..1")
    parser.add_argument("--key", help="which data set of an HDF5 file, which video of a YouTube-VIS document")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def convert(options: argparse.Namespace) -> int:
    """Convert, and say what was done."""
    from trocar.formats import ConvertOptions, ReadOptions, convert_masks, open_source

    if options.series is not None and options.source is None:
        raise ValueError("--series is about a DICOM --source: give that, too")
    source = None if options.source is None else open_source(options.source, series=options.series)
    done = convert_masks(
        options.input,
        options.output,
        ConvertOptions(
            read_as=options.read_as,
            write_as=options.write_as,
            source=source,
            overlap=options.overlap,
            ids=options.ids,
            drop=frozenset(options.drop),
            names=dict(_named(text) for text in options.name),
            terms=options.terms,
            read=ReadOptions(key=options.key, threshold=options.threshold),
        ),
    )
    if options.json:
        said = {"path": str(done.path), "format": done.format, "frames": done.frames, "notes": list(done.notes)}
        print(json.dumps(said | {"objects": {str(new): old for new, old in done.objects.items()}}, indent=2))
        return 0
    for note in done.notes:
        print(f"trocar: note: {note}", file=sys.stderr)
    print(f"{done.path}: {len(done.objects)} objects on {done.frames} frames, as {done.format}")
    return 0


def _named(text: str) -> tuple[int, str]:
    number, _, name = text.partition("=")
    if not number.strip().isdecimal() or not name.strip():
        raise ValueError(f"--name {text!r}: write ID=NAME, as in 1=liver")
    return int(number), name.strip()
