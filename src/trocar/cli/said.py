"""The prompts of a command line: what is said with --box, --point, --mask, --prompts and --object, in its order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.cli.image_set import numbered
from trocar.formats.image_set import ImageSet
from trocar.frames import FrameSource
from trocar.prompts import MaskPrompt, PlacedPrompt, parse_box, parse_path_at, parse_point, prompts_from_json

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif")


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Add what `said_prompts` reads."""
    parser.set_defaults(said=[], object_id=1)
    say = parser.add_argument_group("prompts", "in pixels of the source; they belong to the last --object before them")
    say.add_argument("--object", dest="object_id", type=int, metavar="ID", help="the object meant from here on (1)")
    say.add_argument("--box", dest="said", action=_Say, metavar="X0,Y0,X1,Y1@FRAME", help="a box around the object")
    say.add_argument("--point", dest="said", action=_Say, metavar="X,Y[,+|-]@FRAME", help="a click on it, or beside it")
    say.add_argument(
        "--mask", dest="said", action=_Say, metavar="FILE[#ID]@FRAME", help="its mask, or one object of a mask file"
    )
    say.add_argument("--prompts", dest="said", action=_Say, metavar="FILE", help="a JSON list of prompts")


def said_prompts(options: argparse.Namespace, source: FrameSource, plane: str) -> list[PlacedPrompt]:
    """What was said, about a source.

    Args:
        options: of a parser that `add_prompt_options` made.
        source: what the prompts are about.
        plane: in which a volume is shown.

    Raises:
        FileNotFoundError, ValueError: a file or a value that makes no prompt.
    """
    placed: list[PlacedPrompt] = []
    for option, text, object_id in options.said:
        if isinstance(source, ImageSet) and option != "--prompts":
            text = numbered(text, source)
        match option:
            case "--box":
                placed.append(parse_box(text, object_id))
            case "--point":
                placed.append(parse_point(text, object_id))
            case "--mask":
                name, frame = parse_path_at(text)
                placed.append(PlacedPrompt(MaskPrompt(_mask(name, frame, source, plane)), frame, object_id))
            case _:
                placed += _prompts_of(Path(text))
    return placed


def check_said(option: str, text: str, of_set: bool) -> None:
    """What can be checked of a prompt before the source is opened; `of_set` is whether it names a picture of a set.

    Raises:
        FileNotFoundError, ValueError: a file or a value that makes no prompt.
    """
    if of_set and option != "--prompts":
        text = text.rpartition("@")[0] or text
    match option:
        case "--box":
            parse_box(text)
        case "--point":
            parse_point(text)
        case "--mask":
            path = _mask_file(parse_path_at(text)[0])[0]
            if not path.exists():
                raise FileNotFoundError(f"{path} does not exist: check the name of the mask")
        case _:
            _prompts_of(Path(text))


def file_said(option: str, text: str) -> Path | None:
    """The file that a prompt lies in, if it lies in one."""
    if option == "--prompts":
        return Path(text)
    return _mask_file(text.rpartition("@")[0] or text)[0] if option == "--mask" else None


class _Say(argparse.Action):
    """Collect prompts in order: each belongs to the last --object named before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        said = (str(option_string), str(values), getattr(namespace, "object_id", 1))
        namespace.said = [*(namespace.said or []), said]


def _prompts_of(path: Path) -> list[PlacedPrompt]:
    """What a JSON file says."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name of the prompts file")
    try:
        return prompts_from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _mask_file(name: str) -> tuple[Path, str | None]:
    """The file of FILE[#ID], and what stands after #."""
    file, hash_, number = name.rpartition("#")
    return (Path(file), number) if hash_ else (Path(name), None)


def _mask(name: str, frame: int, source: FrameSource, plane: str) -> NDArray[np.bool_]:
    """The mask in a picture, whose object is not 0, or an object of a mask file on a frame of the source."""
    path, number = _mask_file(name)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name of the mask")
    if number is None and path.suffix.lower() in PICTURES:
        return read_picture_mask(path)
    if number is not None and not number.isdecimal():
        raise ValueError(f"--mask {name!r}: after # comes the id of an object, not {number!r}")
    return _object_of(path, None if number is None else int(number), frame, source, plane)


def read_picture_mask(path: Path) -> NDArray[np.bool_]:
    """The mask in a picture, whose object is not 0.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture: give a mask as a PNG whose object is not 0") from error
    return np.asarray((pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)) > 0, np.bool_)


def _object_of(path: Path, wanted: int | None, frame: int, source: FrameSource, plane: str) -> NDArray[np.bool_]:
    from trocar.formats import ReadOptions, read_masks

    found = next(
        (one for one in read_masks(path, source=source, options=ReadOptions(plane)) if one.frame == frame), None
    )
    masks = {} if found is None else {name: mask for name, mask in found.masks.items() if mask.any()}
    chosen = next(iter(masks)) if wanted is None and len(masks) == 1 else wanted
    if chosen not in masks:
        there = f"objects {', '.join(map(str, sorted(masks)))}" if masks else "no object"
        raise ValueError(f"{path} has {there} on frame {frame}: name one that is there, as in {path.name}#ID@{frame}")
    return masks[chosen]
