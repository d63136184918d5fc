"""What `trocar segment` takes for volumes: further planes, boxes in three dimensions, cleanup in three dimensions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trocar.frames import FrameSource
from trocar.masks.cleanup import VolumeCleanup
from trocar.prompts import PlacedPrompt, parse_box3d

if TYPE_CHECKING:
    from trocar.memory import MemoryPolicy
    from trocar.model.network import Network
    from trocar.track.entries import StepSettings
    from trocar.track.volume import VolumeRun

ALL = "all6"


@dataclass(frozen=True)
class VolumeRequest:
    """What is asked of a volume beyond slices of one plane, see `trocar.track.volume.VolumeOptions`.

    Args:
        six: track through all planes, not the prompted one alone.
        boxes: three-dimensional boxes (x0, y0, z0, x1, y1, z1) by object.
    """

    six: bool = False
    directions: Literal["independent", "joint"] = "independent"
    aggregate: Literal["mean", "majority"] = "mean"
    carry: Literal["mask", "box"] = "mask"
    true_aspect: bool = False
    cleanup: VolumeCleanup = field(default_factory=VolumeCleanup)
    boxes: dict[str, list[float]] = field(default_factory=dict)


class _SayBox3d(argparse.Action):
    """A three-dimensional box for the last --object named before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            box = parse_box3d(str(values))
        except ValueError as error:
            parser.exit(2, f"trocar: {error}\n")
        namespace.boxes = {**namespace.boxes, namespace.object_id: box}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    planes = ("axial", "coronal", "sagittal")
    group = parser.add_argument_group("volumes", f"--plane {ALL} goes through all three planes, both ways in each")
    parser.set_defaults(boxes={})
    group.add_argument("--prompt-plane", default="axial", choices=planes, help=f"the prompts', for {ALL} (axial)")
    group.add_argument("--box3d", action=_SayBox3d, metavar="X0,Y0,Z0,X1,Y1,Z1", help="a box; z counts slices")
    group.add_argument(
        "--directions",
        default="independent",
        choices=("independent", "joint"),
        help="a fresh memory each, or one over all of them (independent)",
    )
    group.add_argument("--aggregate", default="mean", choices=("mean", "majority"), help="of the planes (mean)")
    group.add_argument("--carry", default="mask", choices=("mask", "box"), help="what prompts the other planes (mask)")
    group.add_argument("--true-aspect", action="store_true", help="show slices in true proportion, not stretched")
    group.add_argument("--largest-component", action="store_true", help="keep each object's largest piece")
    group.add_argument("--fill-cavities", action="store_true", help="fill what an object encloses on all sides")
    group.add_argument("--smooth", type=float, default=0.0, metavar="MM", help="blur masks by this width and cut anew")


def shown_plane(options: argparse.Namespace) -> str:
    """The plane that prompts belong to and masks are written in."""
    return str(options.prompt_plane if options.plane == ALL else options.plane)


def volume_request(options: argparse.Namespace, source: FrameSource) -> tuple[VolumeRequest | None, list[PlacedPrompt]]:
    """What was asked of a volume, None where slices of one plane will do, and all prompts on slices.

    Raises:
        ValueError: it was asked of something else than a volume.
    """
    from trocar.formats.volume import VolumeSource

    six = options.plane == ALL
    # The first mask of another model is on one slice: from there on it is the result that prompts the other planes.
    whole = options.boxes if six and options.init_model is None else {}
    outlines = [PlacedPrompt(box.outline, box.middle, name) for name, box in options.boxes.items() if not whole]
    cleanup = VolumeCleanup(options.largest_component, options.fill_cavities, options.smooth)
    boxes = {str(name): [box.x0, box.y0, box.z0, box.x1, box.y1, box.z1] for name, box in whole.items()}
    request = VolumeRequest(
        six, options.directions, options.aggregate, options.carry, options.true_aspect, cleanup, boxes
    )
    plain = request == VolumeRequest(aggregate=options.aggregate, carry=options.carry)
    if not isinstance(source, VolumeSource) and not (plain and not options.boxes):
        raise ValueError(f"{source.name} is not a volume: leave out what is for volumes ({ALL}, --box3d and the like)")
    return None if plain else request, [*options.said, *outlines]


def volume_run(
    asked: VolumeRequest,
    plane: str,
    network: Network,
    source: FrameSource,
    memory: MemoryPolicy,
    work: tuple[StepSettings, int | None, Path],
) -> VolumeRun:
    """The run that was asked for, with its boxes; `work` is how a step is carried out, the image size, the folder."""
    from trocar.prompts import Box3d
    from trocar.track.planes import all_planes
    from trocar.track.volume import VolumeOptions, VolumeRun

    others = all_planes(plane) if asked.six else ()
    how = (asked.directions, asked.aggregate, asked.carry, asked.true_aspect, asked.cleanup)
    run = VolumeRun(network, source, memory, VolumeOptions(plane, others, *how, *work))
    for name, (x0, y0, z0, x1, y1, z1) in asked.boxes.items():
        run.add_box(Box3d(x0, y0, int(z0), x1, y1, int(z1)), int(name))
    return run
