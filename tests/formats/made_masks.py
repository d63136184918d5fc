"""Masks and the DICOM series they lie on, for tests of mask formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from made_dicom import write_series

from trocar.formats import MaskSet, ObjectInfo, open_source
from trocar.frames import FrameSource
from trocar.masks import FrameMasks

ROWS, COLUMNS = 24, 30

A, B = np.cos(0.3), np.sin(0.3)

ORIENTATIONS = {
    "straight": np.eye(3)[:2],
    "flipped": np.array([[-1.0, 0, 0], [0, -1, 0]]),
    "oblique": np.array([[A, B, 0], [-B * A, A * A, B]]),
    "sagittal": np.array([[0.0, 1, 0], [0, 0, -1]]),  # voxels run to P, I and, from slice to slice, to R
    "one slice": np.array([[A, 0, B], [0, 1, 0]]),
}


def dicom_series(folder: Path, kind: str) -> FrameSource:
    """A small CT series, six slices (or one) of 24 x 30 pixels."""
    count = 1 if kind == "one slice" else 6
    pixels = np.random.default_rng(0).integers(0, 2000, (count, ROWS, COLUMNS)).astype(np.uint16)
    write_series(folder, pixels, ORIENTATIONS[kind], FrameOfReferenceUID="1.2.3.9")
    return open_source(folder)


def masks_of(source: FrameSource, overlap: bool = False) -> MaskSet:
    """Objects 1, 2 (with a hole, a thread and a speck) and 7, on the first and the last frame, too."""
    rows, columns = source.geometry.size
    frames = []
    for frame in range(len(source)):
        block, odd, late = (np.zeros((rows, columns), np.bool_) for _ in range(3))
        block[0:2, frame % 3 : columns - 1] = True
        odd[rows // 2 : rows - 1, 1 : columns // 2] = True
        odd[rows // 2 + 1, 2:4] = False
        odd[rows - 1, min(2, columns - 1)] = True
        odd[rows // 2, columns // 2 : columns - 2] = True
        odd[rows // 2 - 2, columns - 1] = True
        late[rows // 2 - 1 if overlap else 3, 1 : columns // 2] = frame > len(source) // 2
        if overlap:
            late[rows // 2, 1:3] = True
        else:
            odd &= ~block
            late &= ~(block | odd)
        frames.append(FrameMasks(frame, {1: block, 2: odd, 7: late}))
    return MaskSet(source, lambda: iter(frames), {1: ObjectInfo("liver"), 2: ObjectInfo("left & <odd>")})


def content(masks: MaskSet) -> dict[tuple[int, int], bytes]:
    """(frame, object id) -> the packed mask, of all objects that are there."""
    return {
        (one.frame, object_id): np.packbits(mask).tobytes()
        for one in masks
        for object_id, mask in one.masks.items()
        if mask.any()
    }


def with_scores(masks: MaskSet) -> MaskSet:
    """The same with scores, as a run gives them."""
    return replace(masks, frames=lambda: (replace(one, scores=dict.fromkeys(one.masks, 0.5)) for one in masks))
