"""Whether the probabilities of pixels near an object's true boundary are what they turn out to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.annotation_noise import signed_distance
from trocar.datasets.clip import Clip
from trocar.frames import ArraySource
from trocar.memory import NoMemory
from trocar.metrics import iou
from trocar.metrics.calibration import calibration
from trocar.model.network import Network
from trocar.promptable import object_frames
from trocar.prompts import tight_box
from trocar.track.features import input_of
from trocar.track.session import Session

BAND_PX = 4.0  # pixels so near to the true boundary count
BINS = 15

Table = NDArray[np.float64]


def boundary_reliability(network: Network, clip: Clip, band_px: float = BAND_PX) -> tuple[list[float], Table]:
    """Prompt every object with its tight box, each frame for itself, and compare chances with the truth.

    Args:
        network: in its evaluation mode.
        clip: with exact labels; objects of at least `trocar.promptable.MIN_AREA_PX` count.
        band_px: a pixel counts if its middle is so near to the true boundary, in pixels of the clip.

    Returns:
        the IoU of every object-frame; and for each of `BINS` bins of the probability of lying on the object: how many
        pixels, the sum of their probabilities, and how many truly lie on it (BINS, 3).
    """
    ious, chances, truths = [], [], []
    session, entry = Session(network, ArraySource(clip.images, clip.name), NoMemory()), input_of(network.config)
    for frame, name, truth in object_frames(clip):
        found = session.add(tight_box(truth), frame=frame, object_id=name).masks[name]
        logits = session.tracks[name].prompted[frame].logits[None].float()
        near = np.abs(signed_distance(truth)) <= band_px
        chance = entry.to_frame(logits, (truth.shape[0], truth.shape[1]))[0].sigmoid().cpu().numpy()
        ious.append(iou(found, truth).value)
        chances.append(chance[near].astype(np.float64))
        truths.append(truth[near])
        session.remove(name)
    session.close()
    table = np.zeros((BINS, 3))
    if chances:
        for one in calibration(np.concatenate(chances), np.concatenate(truths), BINS).bins:
            table[round(one.low * BINS)] = one.count, one.count * one.confidence, one.count * one.accuracy
    return ious, table


def pooled_error(tables: Table) -> float:
    """The expected calibration error of several clips together: (clips, BINS, 3), see `boundary_reliability`."""
    count, stated, true = tables.sum(0).T
    return float(np.abs(stated - true).sum() / count.sum())
