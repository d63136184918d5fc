"""What a session works with, and the masks of a frame as it shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.frames import FrameSource, geometry_of
from trocar.masks import FrameMasks
from trocar.memory.seam import MemoryEntry, MemoryPolicy
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures
from trocar.track.entries import StepSettings, suppress_overlap
from trocar.track.features import NetworkInput


@dataclass(frozen=True, eq=False)
class Work:
    """What a session works with.

    Args:
        network: of all objects.
        source: gives the frames.
        features: of a frame, by its number.
        shown: how the network sees frames.
        settings: how a step is carried out.
        memory: copied for each object.
    """

    network: Network
    source: FrameSource
    features: Callable[[int], ImageFeatures]
    shown: NetworkInput
    settings: StepSettings
    memory: MemoryPolicy


def frame_masks(
    work: Work, frame: int, entries: Mapping[int, MemoryEntry], exact: Mapping[int, NDArray[np.bool_]]
) -> FrameMasks:
    """The masks of a frame at the size of the source.

    Args:
        work: what the session works with.
        frame: its number.
        entries: by object.
        exact: masks that were given as prompts: the answer to the pixel, whatever the network's resolution.
    """
    if not entries:
        return FrameMasks(frame, {})
    size = geometry_of(work.source, frame).size
    large = torch.cat([work.shown.to_frame(entry.finest[None].float(), size) for entry in entries.values()])
    if work.settings.non_overlap:
        large = suppress_overlap(large)
    masks = dict(zip(entries, (large > 0).cpu().numpy(), strict=True))
    if not work.settings.non_overlap:
        masks |= exact
    scores = {name: min(max(entry.iou, 0.0), 1.0) if entry.present else 0.0 for name, entry in entries.items()}
    prompted = frozenset(name for name, entry in entries.items() if entry.role == "prompted")
    classes = {name: _classes(work.network, entry) for name, entry in entries.items() if entry.class_logits is not None}
    return FrameMasks(frame, masks, scores, prompted, classes=classes)


def _classes(network: Network, entry: MemoryEntry) -> dict[str, float]:
    """The probability of each class that the network's semantic head knows."""
    semantic = network.config.semantic
    assert semantic is not None
    assert entry.class_logits is not None
    chances = (entry.class_logits.float() / semantic.temperature).softmax(0).tolist()
    return dict(zip(semantic.names, chances, strict=True))
