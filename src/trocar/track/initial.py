"""The first mask from another network: what it makes of the prompts becomes a mask prompt for the one that tracks.

Ma et al. 2024 (section 2.4) compare three beginnings of a volume: the tracking model's own mask from a box, another
model's, and the true one. The first is a prompt as it is, the last a mask prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

from trocar.frames import FrameSource
from trocar.memory import NoMemory
from trocar.model.network import Network
from trocar.prompts import MaskPrompt, PlacedPrompt
from trocar.track.session import Session, SessionOptions


def initial_masks(
    network: Network, source: FrameSource, prompts: Sequence[PlacedPrompt], image_size: int | None = None
) -> list[PlacedPrompt]:
    """One mask prompt for each object and frame that was prompted, as `network` answers all that was said there.

    Args:
        network: the other model.
        source: what the prompts were said on.
        prompts: masks among them stay as they are.
        image_size: side of the network's square input in pixels; None for the network's own.

    Raises:
        ValueError: a prompt does not fit, or the network finds nothing where it was prompted.
    """
    session = Session(network, source, NoMemory(), SessionOptions(image_size=image_size))
    found = {}
    for placed in prompts:
        answer = session.add(placed.prompt, frame=placed.frame, object_id=placed.object_id)
        found[placed.object_id, placed.frame] = answer.masks[placed.object_id]
    session.close()
    for (name, frame), mask in found.items():
        if not mask.any():
            raise ValueError(
                f"the model for first masks finds no object {name} on frame {frame}: prompt it otherwise, or leave "
                "that model out"
            )
    return [PlacedPrompt(MaskPrompt(mask), frame, name) for (name, frame), mask in found.items()]
