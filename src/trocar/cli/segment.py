"""`trocar segment`: prompts in, masklets out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trocar.cli import class_prompts, volume
from trocar.cli.fields import add_threads
from trocar.cli.image_set import (
    MEMORY,
    add_set_options,
    check_set_options,
    open_set,
    write_confidence,
)
from trocar.cli.run import Output, Request, run
from trocar.cli.said import add_prompt_options, said_prompts
from trocar.cli.source import add_source_options, asked_of_source, open_asked
from trocar.formats.image_set import ImageSet


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("source", help="video, NIfTI volume, image, or folder of images")
    add_item_options(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (SOURCE-masks)")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run of the same request")
    add_threads(parser)
    parser.add_argument("--json", action="store_true", help="print the run's record as JSON")
    parser.set_defaults(run=segment)


def add_item_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how one source is segmented: all but its name, and where its masks go."""
    from trocar.formats import FORMATS

    writable = [name for name, info in FORMATS.items() if info.writes]
    add_prompt_options(parser)
    class_prompts.add_arguments(parser)
    parser.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    parser.add_argument(
        "--memory",
        metavar="NAME[:key=value,...]",
        help=f"see `trocar policies`, or a TOML file with the same (recent; with --set {MEMORY})",
    )
    parser.add_argument("--init-model", metavar="NAME|FILE", help="another model, for the masks of prompted frames")
    parser.add_argument("--direction", choices=("both", "forward", "backward"), help="(both; with --class forward)")
    parser.add_argument("--non-overlap", action="store_true", help="every pixel belongs to one object at most")
    parser.add_argument("--fill-holes", type=int, default=0, metavar="PX", help="fill holes of masks up to this area")
    parser.add_argument("--remove-specks", type=int, default=0, metavar="PX", help="drop pieces under this area")
    parser.add_argument("--image-size", type=int, metavar="PX", help="side of the network's input")
    add_source_options(parser)
    parser.add_argument("--format", dest="formats", nargs="+", default=["png"], choices=writable, help="(png)")
    parser.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 (graphics cards) or int8 (CPUs) (fp32)")
    parser.add_argument(
        "--economy",
        default="off",
        metavar="NAME[:key=value,...]",
        help="leave work out for a price in accuracy: off or fast, with other knobs where wanted (off)",
    )
    volume.add_arguments(parser)
    add_set_options(parser)


def segment(options: argparse.Namespace) -> int:
    """Run and say where things are."""
    path = Path(options.source).absolute()
    output = Output(options.out or Path(f"{path.name.split('.')[0]}-masks"), tuple(options.formats), options.resume)
    record = segmented(options, output)
    if options.json:
        print(json.dumps(record, indent=2))
        return 0
    seconds = record["seconds"]
    print(
        f"{record['frames_tracked']} frames at {record['frames_per_second']} frames/s "
        f"(decode {seconds['decode']:.1f} s, track {seconds['track']:.1f} s, write {seconds['write']:.1f} s, "
        f"finish {seconds['finish']:.1f} s), "
        f"peak memory {record['peak_memory_mb']} MB"
    )
    for line in class_prompts.said_found(record):
        print(line)
    for path_written in record["outputs"]:
        print(path_written)
    return 0


def segmented(
    options: argparse.Namespace, output: Output, show: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Carry out what was asked of one source, and return the run's record.

    Args:
        options: of a parser that `add_item_options` made, with the `source`.
        output: where the masks go.
        show: told what is done, of how many frames and how many they are; None draws bars.

    Raises:
        ValueError, FileNotFoundError: the source or what is asked of it will not do.
    """
    opened = asked_of_source(options) | {"plane": volume.shown_plane(options)}
    check_set_options(options)
    source = open_set(options, opened) if options.image_set else open_asked(options.source, opened)
    options.said = said_prompts(options, source, opened["plane"])
    asked, prompts = volume.volume_request(options, source)
    request = Request(
        source=str(Path(options.source).absolute()),
        model=options.model,
        memory=options.memory or (MEMORY if options.image_set else "recent"),
        opened=opened | ({"image_set": True, "templates": options.templates} if options.image_set else {}),
        direction=options.direction or ("forward" if options.classes else "both"),
        non_overlap=options.non_overlap,
        image_size=options.image_size,
        fill_holes_px=options.fill_holes,
        remove_specks_px=options.remove_specks,
        init_model=options.init_model,
        volume=asked,
        classes=options.classes,
        class_model=class_prompts.class_model(options, asked is not None),
        precision=options.precision,
        economy=options.economy,
    )
    record = run(request, source, prompts, output, options.device, show)
    if isinstance(source, ImageSet):
        record["outputs"] += write_confidence(output.folder, source, options.review)
    return record
