"""Masks that a memory hands on to the frame that reads it: the newest one's, and that of the prompt.

The newest mask has come the shortest way, but with all errors that were made on it; a prompt's has none, but comes from
further away. Where both are carried along the motion (`model/motion.py`), each counts as far as that is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.memory.seam import MemoryEntry, Visit
from trocar.model.motion import Search, moved_masks
from trocar.model.tensors import CarriedMasks

HANDED_LIMIT = 32.0  # logits are handed on, and fed back, within +-32
FROM_NEWEST = Search(stride=1, window=33, tolerated=3, scale=16)
FROM_PROMPT = Search(stride=2, window=17, tolerated=3, scale=16, astray=1)  # it must find back: tissue looks alike
PREFERENCE = 4  # power of trust with which one mask counts beside the other


def nearest(entries: Sequence[MemoryEntry], visit: Visit, timed: bool) -> MemoryEntry:
    """The entry nearest in time, or the last one where time says nothing, as in sets of images."""
    return min(entries, key=lambda entry: abs(visit.distance(entry.time))) if timed else entries[-1]


def handed_masks(newest: Sequence[MemoryEntry]) -> Tensor:
    """(R, 1, s, s) logits of R entries as they are handed on where nothing is carried."""
    return torch.stack([entry.logits for entry in newest])[:, None].clamp(-HANDED_LIMIT, HANDED_LIMIT)


def carried_masks(
    newest: Sequence[MemoryEntry], prompted: Sequence[MemoryEntry | None], now: Sequence[Tensor]
) -> CarriedMasks:
    """What masks of R rows look like on other frames.

    Args:
        newest: the nearest entry that each row reads.
        prompted: the nearest prompted one, unless it is the same or there is none.
        now: (S, S) views of the frames they are wanted on.
    """
    masks, trust = _moved(newest, now, FROM_NEWEST)
    far = {row: entry for row, entry in enumerate(prompted) if entry is not None}
    if far:
        others, sure = _moved(list(far.values()), [now[row] for row in far], FROM_PROMPT)
        rows = list(zip(masks, trust, strict=True))
        for row, other, own in zip(far, others, sure, strict=True):
            rows[row] = _weighed(rows[row], (other, own))
        masks, trust = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return CarriedMasks(masks * trust, trust)


def _moved(entries: Sequence[MemoryEntry], now: Sequence[Tensor], search: Search) -> tuple[Tensor, Tensor]:
    size = now[0].shape
    masks = [entry.finest.float()[None, None] for entry in entries]
    large = [F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in masks]
    then = [entry.view for entry in entries if entry.view is not None]
    return moved_masks(torch.cat(large).clamp(-HANDED_LIMIT, HANDED_LIMIT), then, now, search)


def _weighed(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Two carried masks as one, with the trust in the more trusted."""
    weights = [trust**PREFERENCE for _, trust in (one, other)]
    mask = (one[0] * weights[0] + other[0] * weights[1]) / (weights[0] + weights[1])
    return mask, torch.maximum(one[1], other[1])
