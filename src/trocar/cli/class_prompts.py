"""`trocar segment --class`: objects that are looked for by the name of their class."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trocar.model.network import Network
    from trocar.track.prompter import Prompter

DEFAULT = "nano-classes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("classes", "objects are found when they appear, tracked, and found again")
    group.add_argument("--class", dest="classes", action="append", metavar="NAME", help="what to look for; may repeat")
    group.add_argument("--class-model", metavar="NAME|FILE", help=f"who knows it, see `trocar classes` ({DEFAULT})")


def class_model(options: argparse.Namespace, of_volume: bool) -> str | None:
    """The class model of a request; `of_volume` is whether more of a volume is asked for than slices of a plane.

    Raises:
        ValueError: one is named, and nothing is looked for; or the request is of what has no time in which things come
            and go.
    """
    if not options.classes:
        if options.class_model:
            raise ValueError("--class-model is for --class: name what to look for, see `trocar classes`")
        return None
    if of_volume:
        raise ValueError("--class is for video: leave out what is for volumes, or prompt with boxes")
    if options.direction == "both":
        raise ValueError("classes are looked for in one direction: give --direction forward or backward")
    return options.class_model or DEFAULT


def class_prompter(network: Network, classes: Sequence[str], model: str, image_size: int | None) -> Prompter:
    """Who looks for classes.

    Raises:
        ValueError, FileNotFoundError: no such class or model, or it does not fit the network or the size of its input.
    """
    from trocar.classprompt.class_model import read_class_config
    from trocar.classprompt.registry import find_class_model
    from trocar.load import load_prompter

    wanted, side = read_class_config(find_class_model(model)).side, image_size or network.config.image_size
    if wanted != side:
        raise ValueError(f"{model} reads inputs of {wanted} px, not of {side}: add --image-size {wanted}")
    return load_prompter(network, classes, model)


def found_objects(session: object, classes: Sequence[str] | None) -> dict[str, Any]:
    """What a session has found of some classes, for the run's record; nothing where it did not look."""
    from trocar.track.session import Session

    if not isinstance(session, Session) or not classes:
        return {}
    return {
        "looked_for": list(classes),
        "found": [
            {
                "object": number,
                "class": one.name,
                "first_frame": one.first,
                "prompted_frame": one.frame,
                "presence": round(one.presence, 4),
                "found_again": one.again,
                "frames_seen_as": dict(one.seen),
            }
            for number, one in sorted(session.found.items())
        ],
    }


def said_found(record: dict[str, Any]) -> Iterator[str]:
    """The same in words, a line an object."""
    if "looked_for" in record and not record["found"]:
        yield f"nothing found of: {', '.join(record['looked_for'])}"
    for one in record.get("found", ()):
        again = f", found again {one['found_again']} times" if one["found_again"] else ""
        yield f"object {one['object']}: {one['class']}, from frame {one['first_frame']} on{again}"
