"""COCO's compressed run-length encoding of a mask (Lin et al., COCO), through pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


class Rle(TypedDict):
    """A mask in runs: `size` is [rows, columns]; `counts` COCO's ASCII code, or the plain list of run lengths."""

    size: list[int]
    counts: str | list[int]


def to_rle(mask: NDArray[np.bool_]) -> Rle:
    """Encode a (rows, columns) bool mask, compressed."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"a mask to encode is a 2-D bool array, not {mask.dtype} of shape {mask.shape}")
    coded = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(length) for length in coded["size"]], "counts": coded["counts"].decode("ascii")}


def from_rle(rle: Rle) -> NDArray[np.bool_]:
    """The (rows, columns) bool mask of a compressed or plain code.

    Raises:
        ValueError: the runs do not fill the size.
    """
    return np.ascontiguousarray(coco.decode(_coded(rle))).astype(np.bool_)


def rle_area(rle: Rle) -> int:
    """Number of pixels of the mask."""
    return int(coco.area(_coded(rle)))


def rle_box(rle: Rle) -> tuple[int, int, int, int]:
    """COCO's box (x, y, width, height) around the mask, tight; all 0 for an empty mask."""
    x, y, width, height = (int(number) for number in coco.toBbox(_coded(rle)))
    return x, y, width, height


def _coded(rle: Rle) -> dict[str, object]:
    """The code as pycocotools takes it, checked first: its C code trusts the runs."""
    size, counts = rle["size"], rle["counts"]
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"the size of a run-length code is [rows, columns], not {size}")
    runs = _runs(counts) if isinstance(counts, str) else counts
    if any(run < 0 for run in runs) or sum(runs) != size[0] * size[1]:
        raise ValueError(f"a run-length code does not fill its size of {size[0]} x {size[1]} pixels: it is damaged")
    if isinstance(counts, str):
        return {"size": list(size), "counts": counts.encode("ascii")}
    coded: dict[str, object] = coco.frPyObjects({"size": list(size), "counts": list(counts)}, *size)
    return coded


def _runs(text: str) -> Sequence[int]:
    """The run lengths in COCO's code: 5 bits a character, signed, from the third on as differences two back."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(
                f"a run-length code has the character {character!r}, which no such code has: it is damaged"
            )
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("a run-length code ends in the middle of a run: it is damaged")
    return runs
