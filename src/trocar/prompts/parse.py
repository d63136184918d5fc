"""Prompts from text: what the command line takes, and a JSON list of prompts and back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from trocar.masks.rle import from_rle, to_rle
from trocar.prompts.box3d import Box3d
from trocar.prompts.prompt import Box, MaskPrompt, Point, Prompt, Scribble


@dataclass(frozen=True)
class PlacedPrompt:
    """A prompt with the frame it was said on and the object it is about."""

    prompt: Prompt
    frame: int = 0
    object_id: int = 1


def parse_box(text: str, object_id: int = 1) -> PlacedPrompt:
    """`x0,y0,x1,y1@frame`, such as "412,305,520,388@0"; without @frame it is frame 0.

    Raises:
        ValueError: the text has another form, or the box is empty.
    """
    corners, frame = parse_path_at(text)
    x0, y0, x1, y1 = _numbers(corners.split(","), 4, f"box {text!r}: write x0,y0,x1,y1@frame, as in 412,305,520,388@0")
    return PlacedPrompt(Box(x0, y0, x1, y1), frame, object_id)


def parse_box3d(text: str) -> Box3d:
    """`x0,y0,z0,x1,y1,z1`, such as "120,88,30,190,150,52": z counts slices, and z1 is the last one.

    Raises:
        ValueError: the text has another form, or the box is empty.
    """
    otherwise = f"box {text!r}: write x0,y0,z0,x1,y1,z1 with whole slice numbers z, as in 120,88,30,190,150,52"
    x0, y0, z0, x1, y1, z1 = _numbers(text.split(","), 6, otherwise)
    if not (z0.is_integer() and z1.is_integer()):
        raise ValueError(otherwise)
    return Box3d(x0, y0, int(z0), x1, y1, int(z1))


def parse_point(text: str, object_id: int = 1) -> PlacedPrompt:
    """`x,y[,+|-]@frame`, such as "412,305@0", or "412,305,-@0" for what is not the object; without @frame frame 0.

    Raises:
        ValueError: the text has another form.
    """
    place, frame = parse_path_at(text)
    fields = [field.strip() for field in place.split(",")]
    sign = fields.pop() if fields[-1] in ("+", "-") else "+"
    x, y = _numbers(fields, 2, f"point {text!r}: write x,y@frame or x,y,-@frame, as in 412,305,-@0")
    return PlacedPrompt(Point(x, y, sign == "+"), frame, object_id)


def parse_path_at(text: str) -> tuple[str, int]:
    """`path@frame`, such as "tool.png@3": the path and the frame; without @frame it is frame 0.

    Raises:
        ValueError: what follows the last @ is no frame number.
    """
    path, at, frame = text.rpartition("@")
    if not at:
        return text, 0
    if not (frame.isascii() and frame.isdecimal()):
        raise ValueError(f"{text!r}: after the @ comes the number of a frame, from 0 on, not {frame!r}")
    return path, int(frame)


def prompts_from_json(text: str) -> list[PlacedPrompt]:
    """Prompts from a JSON list with one entry for each, in order.

    An entry has "object" (1 if left out), "frame" (0 if left out) and one of "box": [x0, y0, x1, y1],
    "point": [x, y], "scribble": [[x, y], ...] or "mask": COCO RLE {"size": [rows, columns], "counts": ...}; point and
    scribble also "positive" (true if left out).

    Raises:
        ValueError: the text is no such list; the message names the entry, counted from 0.
    """
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"prompts are not valid JSON: {error}") from error
    if not isinstance(entries, list):
        raise ValueError('prompts in JSON are a list, as in [{"object": 1, "frame": 0, "box": [412, 305, 520, 388]}]')
    placed = []
    for number, entry in enumerate(entries):
        try:
            placed.append(_placed(entry))
        except (ValueError, TypeError) as error:
            raise ValueError(f"prompt {number} of the list: {error}") from error
    return placed


def prompts_to_json(prompts: Sequence[PlacedPrompt]) -> str:
    """The JSON list that `prompts_from_json` reads."""
    entries = [{"object": each.object_id, "frame": each.frame, **_entry(each.prompt)} for each in prompts]
    return json.dumps(entries)


def _placed(entry: object) -> PlacedPrompt:
    if not isinstance(entry, dict):
        raise ValueError("it must be an object with the keys object, frame and a prompt")
    kinds = [kind for kind in ("box", "point", "scribble", "mask") if kind in entry]
    allowed = {"object", "frame", *kinds, *(("positive",) if kinds in (["point"], ["scribble"]) else ())}
    if len(kinds) != 1 or set(entry) - allowed:
        raise ValueError(f"it needs one of box, point, scribble and mask, and has {', '.join(map(str, entry))}")
    return PlacedPrompt(
        _prompt(kinds[0], entry), _whole(entry.get("frame", 0), "frame", 0), _whole(entry.get("object", 1), "object", 1)
    )


def _prompt(kind: str, entry: dict[str, object]) -> Prompt:
    value = entry[kind]
    if kind == "mask":
        if not isinstance(value, dict) or not {"size", "counts"} <= set(value):
            raise ValueError("mask must be a COCO run-length code with size and counts")
        return MaskPrompt(from_rle({"size": value["size"], "counts": value["counts"]}))
    if kind == "box":
        return Box(*_numbers(value, 4, "box must be [x0, y0, x1, y1]"))
    positive = entry.get("positive", True)
    if not isinstance(positive, bool):
        raise ValueError("positive must be true or false")
    if kind == "point":
        x, y = _numbers(value, 2, "point must be [x, y]")
        return Point(x, y, positive)
    if not isinstance(value, list):
        raise ValueError("scribble must be [[x, y], ...]")
    places = [_numbers(place, 2, "scribble must be [[x, y], ...]") for place in value]
    return Scribble(tuple((x, y) for x, y in places), positive)


def _entry(prompt: Prompt) -> dict[str, object]:
    match prompt:
        case Box(x0, y0, x1, y1):
            return {"box": [x0, y0, x1, y1]}
        case Point(x, y, positive):
            return {"point": [x, y], "positive": positive}
        case Scribble(points, positive):
            return {"scribble": [list(place) for place in points], "positive": positive}
        case MaskPrompt():
            return {"mask": to_rle(prompt.mask)}


def _numbers(values: object, count: int, otherwise: str) -> list[float]:
    """`count` finite numbers, or a ValueError that says `otherwise`."""
    try:
        numbers = [float(value) for value in values if not isinstance(value, bool)] if isinstance(values, list) else []
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(otherwise)
    return numbers


def _whole(value: object, name: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number from {least} on, not {value!r}")
    return value
