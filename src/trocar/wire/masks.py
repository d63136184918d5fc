"""Masks on the wire: COCO's run-length codes in NumPy alone, and patches, what is inside a box that changed.

A mask travels as the box (x, y, width, height) in which it differs from what the other side has (`base`, the version of
a mask, "" for an empty one), and COCO's compressed run-length code of what the mask is inside that box (Lin et al.,
COCO). A version is a digest of the mask itself: equal masks have equal versions, also after an undo.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Patch:
    """What is inside a box of a mask; outside it, the mask is as in `base`.

    Args:
        size: (rows, columns) of the whole mask.
        box: (x, y, width, height) in pixels; all 0 where nothing differs.
        counts: COCO's compressed run-length code of the box's inside, "" for an empty box.
        base: version of the mask that it changes, "" for an empty one.
    """

    size: list[int]
    box: list[int]
    counts: str
    base: str = ""


def encode_runs(mask: NDArray[np.bool_]) -> str:
    """COCO's compressed run-length code of a (rows, columns) mask: runs down the columns, 5 bits a character."""
    flat = mask.ravel(order="F")
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], turns, [flat.size]])).tolist()
    runs = [0, *runs] if flat[0] else runs  # the first run is of what is outside
    text = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr(48 + (bits | 32 if more else bits)))
    return "".join(text)


def decode_runs(counts: str, rows: int, columns: int) -> NDArray[np.bool_]:
    """The (rows, columns) mask of a code that `encode_runs` or pycocotools made.

    Raises:
        ValueError: the code is damaged, or does not fill the size.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError("a run-length code is damaged: send it again")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift or any(run < 0 for run in runs) or sum(runs) != rows * columns:
        raise ValueError(f"a run-length code does not fill its {rows} x {columns} pixels: send it again")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape((rows, columns), order="F")


def mask_version(mask: NDArray[np.bool_]) -> str:
    """The version of a mask; "" for an empty one, whatever its size."""
    if not mask.any():
        return ""
    return hashlib.blake2b(np.packbits(mask).tobytes(), digest_size=8, key=repr(mask.shape).encode()).hexdigest()


def make_patch(mask: NDArray[np.bool_], before: NDArray[np.bool_] | None = None, base: str = "") -> Patch:
    """What brings the other side from `before` (version `base`; an empty mask if None) to `mask`."""
    changed = mask if before is None else mask != before
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    size = [int(length) for length in mask.shape]
    if not rows.size:
        return Patch(size, [0, 0, 0, 0], "", base if before is not None else "")
    y, x, height, width = int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    inside = mask[y : y + height, x : x + width]
    return Patch(size, [x, y, width, height], encode_runs(inside), base if before is not None else "")


def apply_patch(patch: Patch, before: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """The whole mask after a patch; `before` is the mask whose version is `patch.base`, not needed for "".

    Raises:
        ValueError: the patch is damaged, or does not fit in its size.
    """
    if len(patch.size) != 2 or len(patch.box) != 4:
        raise ValueError("a patch has a size [rows, columns] and a box [x, y, width, height]")
    rows, columns = patch.size
    x, y, width, height = patch.box
    mask = np.zeros((rows, columns), np.bool_) if before is None or not patch.base else before.copy()
    if min(x, y, width, height) < 0 or x + width > columns or y + height > rows or mask.shape != (rows, columns):
        raise ValueError(f"the box {patch.box} of a patch does not lie in its {rows} x {columns} pixels: send it again")
    if width and height:
        mask[y : y + height, x : x + width] = decode_runs(patch.counts, height, width)
    return mask
