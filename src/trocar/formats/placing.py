"""Masks brought onto a source: matched by place in the patient, by name or by number, never resampled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trocar.formats.mask_set import MaskSet
from trocar.frames import FrameSource
from trocar.masks import FrameMasks

OFF_PLACE = 0.05
"""How far, in voxels, a voxel of the masks may lie off one of the source: headers are written with few digits."""


def lay_on(masks: MaskSet, source: FrameSource) -> MaskSet:
    """The masks as masks of `source`.

    Volumes are matched by their affines: the source may hold more slices, rows or columns. Others are matched by the
    names of their frames, by frame numbers in those names, or, where all frames are there, by their order.

    Raises:
        ValueError: they do not fit: another series, grid, size or number of frames; or pixels lie outside the source.
    """
    series = getattr(getattr(source, "series", None), "uid", None)
    if masks.series and series is not None and series not in masks.series:
        raise ValueError(
            f"{masks.on.name} refers to the series {', '.join(sorted(masks.series))}, not to {series} in "
            f"{source.name}: give the series that it was made on"
        )
    if masks.on.geometry.affine is not None:
        shift = _shift(masks.on, source)
        return replace(masks, on=source, frames=lambda: _moved(masks, source, shift))
    if masks.on.geometry.size != source.geometry.size:
        raise ValueError(
            f"the masks of {masks.on.name} are {_size(masks.on)} but {source.name} is {_size(source)} pixels: give "
            "the source that they were made on"
        )
    places = _places(masks.on, source)
    return replace(masks, on=source, frames=lambda: _renumbered(masks, places))


def _size(source: FrameSource) -> str:
    rows, columns = source.geometry.size
    return f"{columns}x{rows}"


def _shift(on: FrameSource, source: FrameSource) -> tuple[int, int, int]:
    """Where the first voxel (slice, row, column) of `on` is in `source`, whose grid must be the same one."""
    here, there = on.geometry.affine, source.geometry.affine
    assert here is not None
    if there is None:
        raise ValueError(
            f"{on.name} says where in the patient its masks lie, {source.name} does not: give the volume it was made on"
        )
    to_source = np.linalg.inv(there) @ here
    corners = np.array(np.meshgrid(*((0, n - 1) for n in (len(on), *on.geometry.size)))).reshape(3, -1)
    found = to_source[:3, :3] @ corners + to_source[:3, 3:]
    first = np.rint(to_source[:3, 3])
    off = float(np.abs(found - (corners + first[:, None])).max())
    if off > OFF_PLACE:
        raise ValueError(
            f"the masks of {on.name} lie on another grid than {source.name}, up to {off:.3g} voxels apart: give the "
            "volume that they were made on, or resample them first"
        )
    slice_, row, column = (int(n) for n in first)
    return slice_, row, column


def _moved(masks: MaskSet, source: FrameSource, shift: tuple[int, int, int]) -> Iterator[FrameMasks]:
    rows, columns = source.geometry.size
    down, right = shift[1:]
    same = (down, right) == (0, 0) and masks.on.geometry.size == (rows, columns)
    for one in masks:
        frame = one.frame + shift[0]
        placed = {}
        for object_id, mask in one.masks.items():
            laid = mask if same else _inside(mask, (rows, columns), down, right)
            if (not 0 <= frame < len(source) and mask.any()) or np.count_nonzero(laid) != np.count_nonzero(mask):
                raise ValueError(
                    f"object {object_id} of {masks.on.name} lies partly outside {source.name}: give the whole volume "
                    "that it was made on"
                )
            placed[object_id] = laid
        if 0 <= frame < len(source):
            yield replace(one, frame=frame, masks=placed)


def _inside(mask: NDArray[np.bool_], size: tuple[int, int], down: int, right: int) -> NDArray[np.bool_]:
    """The mask moved down and to the right on a picture of another size."""
    laid = np.zeros(size, np.bool_)
    rows, columns = np.nonzero(mask)
    rows, columns = rows + down, columns + right
    there = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    laid[rows[there], columns[there]] = True
    return laid


def _places(on: FrameSource, source: FrameSource) -> list[int]:
    """For each frame of `on` its number in `source`."""
    mine: tuple[str, ...] = getattr(on, "names", ())
    theirs: tuple[str, ...] = getattr(source, "names", ())
    if mine and theirs:
        number = {name: index for index, name in enumerate(theirs)}
        number |= {Path(name).stem: index for index, name in enumerate(theirs) if Path(name).stem not in number}
        lost = next((name for name in mine if name not in number), None)
        if lost is not None:
            raise ValueError(f"{source.name} has no picture for the mask {lost!r} of {on.name}: name it as the picture")
        return [number[name] for name in mine]
    if mine and all(name.isdecimal() for name in mine):
        numbers = [int(name) for name in mine]
        if max(numbers) >= len(source):
            raise ValueError(f"{on.name} has a mask of frame {max(numbers)}, {source.name} has {len(source)} frames")
        return numbers
    if len(on) != len(source):
        raise ValueError(
            f"{on.name} has masks for {len(on)} frames, {source.name} has {len(source)}: give the source that they "
            "were made on"
        )
    return list(range(len(on)))


def _renumbered(masks: MaskSet, places: list[int]) -> Iterator[FrameMasks]:
    if places == sorted(places):
        yield from (replace(one, frame=places[one.frame]) for one in masks)
    else:  # the source counts its pictures in another order
        yield from sorted((replace(one, frame=places[one.frame]) for one in masks), key=lambda one: one.frame)
