"""`trocar segment`: prompts in, masklets out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trocar.cli.run import Output, Request, run
from trocar.prompts import (
    MaskPrompt,
    PlacedPrompt,
    parse_box,
    parse_path_at,
    parse_point,
    prompts_from_json,
)


class _Say(argparse.Action):
    """Collect prompts in order: each belongs to the last --object named before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            said = _placed(str(option_string), str(values), getattr(namespace, "object_id", 1))
        except (ValueError, OSError) as error:
            parser.exit(2, f"trocar: {error}\n")
        namespace.said = [*(namespace.said or []), *said]


def _placed(option: str, text: str, object_id: int) -> list[PlacedPrompt]:
    match option:
        case "--box":
            return [parse_box(text, object_id)]
        case "--point":
            return [parse_point(text, object_id)]
        case "--mask":
            name, frame = parse_path_at(text)
            return [PlacedPrompt(MaskPrompt(_read_mask(Path(name))), frame, object_id)]
        case _:
            path = Path(text)
            if not path.is_file():
                raise FileNotFoundError(f"{path} does not exist: check the name of the prompts file")
            return prompts_from_json(path.read_text(encoding="utf-8"))


def _read_mask(path: Path) -> np.ndarray[Any, np.dtype[np.bool_]]:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name of the mask")
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture: give a mask as a PNG whose object is not 0") from error
    return (pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)) > 0


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    from trocar.formats import FORMATS

    writable = [name for name, info in FORMATS.items() if info.writes]
    parser.add_argument("source", help="video, NIfTI volume, image, or folder of images")
    parser.set_defaults(run=segment, said=[], object_id=1)
    say = parser.add_argument_group("prompts", "in pixels of the source; they belong to the last --object before them")
    say.add_argument("--object", dest="object_id", type=int, metavar="ID", help="the object meant from here on (1)")
    say.add_argument("--box", dest="said", action=_Say, metavar="X0,Y0,X1,Y1@FRAME", help="a box around the object")
    say.add_argument("--point", dest="said", action=_Say, metavar="X,Y[,+|-]@FRAME", help="a click on it, or beside it")
    say.add_argument("--mask", dest="said", action=_Say, metavar="FILE@FRAME", help="its mask: not 0 is the object")
    say.add_argument("--prompts", dest="said", action=_Say, metavar="FILE", help="a JSON list of prompts")
    parser.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    parser.add_argument(
        "--memory",
        default="recent",
        metavar="NAME[:key=value,...]",
        help="see `trocar policies`, or a TOML file with the same (recent)",
    )
    parser.add_argument("--direction", default="both", choices=("both", "forward", "backward"), help="(both)")
    parser.add_argument("--non-overlap", action="store_true", help="every pixel belongs to one object at most")
    parser.add_argument("--fill-holes", type=int, default=0, metavar="PX", help="fill holes of masks up to this area")
    parser.add_argument("--remove-specks", type=int, default=0, metavar="PX", help="drop pieces under this area")
    parser.add_argument("--image-size", type=int, metavar="PX", help="side of the network's input")
    parser.add_argument("--window", default="auto", help="CT preset, LEVEL,WIDTH, percentile or auto, for volumes")
    parser.add_argument(
        "--plane", default="axial", choices=("axial", "coronal", "sagittal"), help="for volumes (axial)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (SOURCE-masks)")
    parser.add_argument("--format", dest="formats", nargs="+", default=["png"], choices=writable, help="(png)")
    parser.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run of the same request")
    parser.add_argument("--json", action="store_true", help="print the run's record as JSON")


def segment(options: argparse.Namespace) -> int:
    """Run and say where things are."""
    from trocar.formats import open_source

    window = options.window
    if "," in window:
        try:
            level, width = (float(part) for part in window.split(","))
        except ValueError as error:
            raise ValueError(f"--window {window!r}: write LEVEL,WIDTH, as in 40,400, or a preset's name") from error
        window = (level, width)
    source = open_source(options.source, window=window, plane=options.plane)
    path = Path(options.source).absolute()
    out = options.out or Path(f"{path.name.split('.')[0]}-masks")
    request = Request(
        source=str(path),
        model=options.model,
        memory=options.memory,
        direction=options.direction,
        non_overlap=options.non_overlap,
        image_size=options.image_size,
        fill_holes_px=options.fill_holes,
        remove_specks_px=options.remove_specks,
    )
    record = run(request, source, options.said, Output(out, tuple(options.formats), options.resume), options.device)
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
    for path_written in record["outputs"]:
        print(path_written)
    return 0
