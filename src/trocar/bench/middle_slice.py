"""Objects of a volume that begin on their middle slice, and two ways to carry them to the others.

`track_both_ways` gives the first mask to a session, which tracks it forward and, from a fresh memory, backward.
`slice_by_slice` is for networks without memory: each slice is prompted with a box around the mask of the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.bench.challenge import BoxPrompter, Labels, Mode
from trocar.frames import FrameSource
from trocar.prompts import Box, MaskPrompt, tight_box
from trocar.track.session import Session

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Beginning:
    """Where an object begins.

    Args:
        frame: the slice.
        box: prompts it there.
        first, last: slices that it is carried to at most, both included; beyond them it is known not to be.
    """

    frame: int
    box: Box
    first: int
    last: int


def middles(truth: Labels, mode: Mode, stored: Mapping[int, Box]) -> dict[int, Beginning]:
    """How each object of a volume begins.

    Args:
        truth: (slices, rows, columns) ids.
        mode: "released": the middle of the range from its first to its last slice, on which it may not show, with the
            outline of its box in three dimensions, and known not to be outside that range. "clean": the middle one of
            the slices that show it, with its tight box there, and nothing known of where it ends.
        stored: outlines that came with the case, for mode "released"; the others are made from the truth.
    """
    found = {}
    for number in np.unique(truth[truth > 0]).tolist():
        mask = truth == number
        shown = np.flatnonzero(mask.any((1, 2))).tolist()
        if mode == "clean":
            middle = shown[len(shown) // 2]
            found[number] = Beginning(middle, tight_box(mask[middle]), 0, len(truth) - 1)
        else:
            first, last = shown[0], shown[-1]
            box = stored[number] if number in stored else tight_box(mask.any(0))
            found[number] = Beginning(first + (last - first + 1) // 2, box, first, last)
    return found


def first_masks(prompter: BoxPrompter, beginnings: Mapping[int, Beginning]) -> dict[int, Mask]:
    """What a network makes of each object's first box: (rows, columns) bool."""
    found: dict[int, Mask] = {}
    for number, one in beginnings.items():
        found |= prompter.masks(one.frame, {number: one.box})
    return found


def track_both_ways(
    session: Session, beginnings: Mapping[int, Beginning], first: Mapping[int, Mask], backward: bool = True
) -> dict[int, Mask]:
    """Object -> (frames, rows, columns) bool, tracked from its first mask.

    All objects are tracked in one go, over all frames, and what is found outside an object's range is dropped: what
    lies there comes last in both directions.

    Args:
        session: over the frames, with nothing prompted.
        beginnings: of each object.
        first: its mask where it begins.
        backward: whether to track backward too.
    """
    found = _nothing(session.source, beginnings)
    for number, mask in first.items():
        session.add(MaskPrompt(mask), frame=beginnings[number].frame, object_id=number)
    if first:
        for masks in session.propagate("both" if backward else "forward"):
            for number, mask in masks.masks.items():
                if beginnings[number].first <= masks.frame <= beginnings[number].last:
                    found[number][masks.frame] = mask
    return found


NextBox = Callable[[Mask, Beginning], Box | None]


def box_around(mask: Mask, beginning: Beginning) -> Box | None:
    """The tight box of the mask before; None, which ends the object, where that is empty."""
    return tight_box(mask) if mask.any() else None


def slice_by_slice(
    prompter: BoxPrompter,
    beginnings: Mapping[int, Beginning],
    first: Mapping[int, Mask],
    next_box: NextBox = box_around,
) -> dict[int, Mask]:
    """Object -> (frames, rows, columns) bool, carried from its first mask by boxes.

    Args:
        prompter: over the slices.
        beginnings: of each object.
        first: its mask where it begins.
        next_box: (mask of the slice before, beginning) -> the box of the next one; None if the object ends.
    """
    found, length = _nothing(prompter.source, beginnings), len(prompter.source)
    for order in (range(length), range(length - 1, -1, -1)):
        last: dict[int, Mask] = {}
        for frame in order:
            asked: dict[int, Box] = {}
            for number, mask in list(last.items()):
                box = next_box(mask, beginnings[number])
                if box is None or not beginnings[number].first <= frame <= beginnings[number].last:
                    del last[number]
                else:
                    asked[number] = box
            answers = prompter.masks(frame, asked) if asked else {}
            answers |= {number: mask for number, mask in first.items() if beginnings[number].frame == frame}
            last |= answers
            for number, mask in answers.items():
                found[number][frame] = mask
    return found


def _nothing(source: FrameSource, beginnings: Mapping[int, Beginning]) -> dict[int, Mask]:
    shape = (len(source), *source.geometry.size)
    return {number: np.zeros(shape, np.bool_) for number in beginnings}
