"""Masks from one format to another; what the other one cannot hold is refused unless it is said what to do about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trocar.formats.dicom_terms import load_terms
from trocar.formats.mask_files import read_masks
from trocar.formats.mask_set import AS_IT_IS, MaskSet, ObjectInfo, ReadOptions
from trocar.formats.table import FORMATS, FormatInfo, check_fits
from trocar.formats.whole_file import naming_full_disk
from trocar.frames import FrameSource
from trocar.masks import FrameMasks

DROPPABLE = ("geometry", "scores", "outlines", "instances", "crowds")
"""What a conversion may lose if it is told to."""


@dataclass(frozen=True)
class ConvertOptions:
    """What is asked of a conversion.

    Args:
        read_as: the format of what is read; by default told by its content.
        write_as: the format to write; by default told by the ending.
        source: what the masks are to lie on, where the masks alone do not say enough.
        overlap: "refuse", or whose pixels count where objects overlap in a format of one label a pixel: those of the
            "highest" or of the "lowest" id.
        ids: "refuse", or "renumber" objects from 1 where a format does not hold their ids.
        drop: what may be lost, of DROPPABLE.
        names: object id -> its name.
        terms: a table of coded terms of the user's own (see `trocar.formats.dicom_terms`).
        read: how to read, where there is a choice.

    Raises:
        ValueError: an unknown value.
    """

    read_as: str | None = None
    write_as: str | None = None
    source: FrameSource | None = None
    overlap: str = "refuse"
    ids: str = "refuse"
    drop: frozenset[str] = frozenset()
    names: Mapping[int, str] = field(default_factory=dict)
    terms: Path | None = None
    read: ReadOptions = AS_IT_IS

    def __post_init__(self) -> None:
        for what, value, known in (
            ("overlap", self.overlap, ("refuse", "highest", "lowest")),
            ("ids", self.ids, ("refuse", "renumber")),
            *(("drop", one, DROPPABLE) for one in sorted(self.drop)),
        ):
            if value not in known:
                raise ValueError(f"{what} must be {' or '.join(known)}, not {value!r}")


DEFAULTS = ConvertOptions()


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Args:
        path: what was written.
        format: as what.
        objects: ids written -> ids read.
        frames: how many frames show an object.
        notes: what is worth knowing, a line each.
    """

    path: Path
    format: str
    objects: dict[int, int]
    frames: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Content:
    """What is in masks, from going through them once."""

    ids: list[int]
    frames: int
    overlap: str
    scores: bool


def convert_masks(path: str | Path, out: str | Path, options: ConvertOptions = DEFAULTS) -> Conversion:
    """Read masks of any format and write them in another.

    Raises:
        FileNotFoundError: nothing is at `path`.
        ValueError: `out` is there already, something would be lost, or the masks cannot be read or written; the message
            says what to do.
    """
    path, out = Path(path), Path(out)
    if out.exists():
        raise ValueError(f"{out} exists already: choose another name or delete it first")
    name = options.write_as or _format_of_name(out)
    writable = [known for known, info in FORMATS.items() if info.writes]
    if name not in writable:
        raise ValueError(f"masks cannot be written as {name!r}: use {', '.join(writable)}")
    info = FORMATS[name]
    masks = read_masks(path, options.read_as, options.source, options.read)
    check_fits(name, masks.on)
    content = _content(masks)
    unknown = sorted(set(options.names) - set(content.ids))
    if unknown:
        raise ValueError(f"{path} has no object {unknown[0]} to be named: it has {content.ids}")
    masks = _named(masks, content.ids, options)
    notes: list[str] = []
    ids = {i: i for i in content.ids}
    if info.read_masks is None:
        if options.source is None:
            raise ValueError(f"{name} shows masks over their pictures: say with source= what those are")
    else:
        _refuse_losses(masks, name, info, content, options)
        ids = _new_ids(path, name, info, content.ids, options)
        lost = [one.name for one in masks.objects.values() if one.name]
        if lost and "names" not in info.holds:
            notes.append(f"{name} does not hold names: {', '.join(lost)} are told apart by their ids only")
    if list(ids) != list(ids.values()):
        notes.append("renumbered " + ", ".join(f"{old} to {new}" for old, new in ids.items()))
    ready = _ready(masks, ids, None if "overlap" in info.holds else options.overlap)
    write_mask_set(out, ready, name)
    return Conversion(out, name, {new: old for old, new in ids.items()}, content.frames, tuple(notes))


def write_mask_set(path: Path, masks: MaskSet, name: str) -> None:
    """Write masks to a file or a folder that is not there yet; it is there when it is whole.

    Folders of files get one for every frame, so that counting them gives the frames' numbers.
    """
    info = FORMATS[name]
    if info.write_all is not None:
        info.write_all(path, masks)
        return
    assert info.write_frame is not None
    with _whole_folder(path) as temporary:
        for one in _every_frame(masks):
            info.write_frame(temporary, one, masks)


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".part-{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with naming_full_disk(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _every_frame(masks: MaskSet) -> Iterator[FrameMasks]:
    """All frames of the source, empty ones with an empty mask of the first object."""
    size, following = masks.on.geometry.size, 0
    first = next((i for one in masks for i in one.masks), 1)
    for one in masks:
        for frame in range(following, one.frame):
            yield FrameMasks(frame, {first: np.zeros(size, np.bool_)})
        yield one if one.masks else replace(one, masks={first: np.zeros(size, np.bool_)})
        following = one.frame + 1
    for frame in range(following, len(masks.on)):
        yield FrameMasks(frame, {first: np.zeros(size, np.bool_)})


def _format_of_name(out: Path) -> str:
    files = {name: info for name, info in FORMATS.items() if info.write_all is not None}
    found = [name for name, info in files.items() if out.name.lower().endswith(info.extensions)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{out} could be {' or '.join(found)}: say which it is to be written as")
    known = ", ".join(name for name, info in FORMATS.items() if info.writes)
    raise ValueError(f"the name {out} does not tell a format: say which it is to be written as ({known})")


def _named(masks: MaskSet, ids: list[int], options: ConvertOptions) -> MaskSet:
    """With the names and coded terms that were asked for."""
    objects = dict(masks.objects) | {i: ObjectInfo(name) for i, name in options.names.items()}
    if options.terms is not None:
        table = load_terms(options.terms)
        for object_id in ids:
            info = objects.get(object_id, ObjectInfo())
            objects[object_id] = replace(info, terms=info.terms or table.get(info.name.lower(), table[""]))
    return replace(masks, objects=objects)


def _content(masks: MaskSet) -> _Content:
    ids: set[int] = set()
    frames, overlap, scores = 0, "", False
    for one in masks:
        present = {i: mask for i, mask in one.masks.items() if mask.any()}
        ids.update(present)
        frames += bool(present)
        scores = scores or bool(one.scores or one.prompted)
        if not overlap and len(present) > 1:
            overlap = _overlap(one.frame, present)
    return _Content(sorted(ids), frames, overlap, scores)


def _overlap(frame: int, present: Mapping[int, NDArray[np.bool_]]) -> str:
    """Which objects overlap where, "" if none do."""
    seen = np.zeros(next(iter(present.values())).shape, np.bool_)
    for object_id, mask in present.items():
        if (mask & seen).any():
            other = next(i for i, earlier in present.items() if (earlier & mask).any())
            return f"objects {other} and {object_id} overlap on frame {frame}"
        seen |= mask
    return ""


def _refuse_losses(masks: MaskSet, name: str, info: FormatInfo, content: _Content, options: ConvertOptions) -> None:
    """Refuse what would be lost and was not said to be dropped.

    Raises:
        ValueError: see above.
    """
    geometry = masks.on.geometry
    losses = dict(masks.losses)
    if "geometry" not in info.holds and (geometry.affine is not None or geometry.spacing_mm is not None):
        losses["geometry"] = f"{name} does not hold where {masks.on.name} lies in the patient, or its spacing"
    if "scores" not in info.holds and content.scores:
        losses["scores"] = f"{name} does not hold the scores of {masks.on.name}, or which frames were prompted"
    for kind, what in losses.items():
        if kind not in options.drop:
            raise ValueError(f"{what}: drop {kind!r} if that does not matter, or choose another format")
    if content.overlap and "overlap" not in info.holds and options.overlap == "refuse":
        raise ValueError(
            f"{content.overlap}, and {name} holds one object a pixel: say with overlap whether the highest or the "
            "lowest id counts, or choose another format"
        )


def _new_ids(path: Path, name: str, info: FormatInfo, ids: list[int], options: ConvertOptions) -> dict[int, int]:
    """Ids read -> ids to write.

    Raises:
        ValueError: the format does not hold them, or, even renumbered, that many.
    """
    highest = info.highest_id
    if not ids or (ids[0] >= 1 and (highest is None or ids[-1] <= highest)):
        return {i: i for i in ids}
    limit = "from 1" if highest is None else f"1 to {highest}"
    if highest is not None and len(ids) > highest:
        raise ValueError(f"{path} has {len(ids)} objects, more than the {highest} that {name} holds: choose another")
    if options.ids == "refuse":
        worst = ids[0] if ids[0] < 1 else ids[-1]
        raise ValueError(f"{path} has the object id {worst}, and {name} holds ids {limit}: say that ids be renumbered")
    return {old: new for new, old in enumerate(ids, start=1)}


def _ready(masks: MaskSet, ids: Mapping[int, int], overlap: str | None) -> MaskSet:
    """The masks with their new ids, and one object a pixel where `overlap` says which."""

    def frames() -> Iterator[FrameMasks]:
        for one in masks:
            kept = {old: mask for old, mask in one.masks.items() if old in ids}
            scores = {ids[old]: score for old, score in one.scores.items() if old in ids}
            prompted = frozenset(ids[old] for old in one.prompted if old in ids)
            apart = kept if overlap is None else _apart(kept, overlap)
            new = {ids[old]: mask for old, mask in apart.items()}
            yield FrameMasks(one.frame, new, scores, prompted)

    objects = {ids[old]: info for old, info in masks.objects.items() if old in ids}
    return replace(masks, frames=frames, objects=objects)


def _apart(masks: Mapping[int, NDArray[np.bool_]], overlap: str) -> dict[int, NDArray[np.bool_]]:
    """Each pixel left to one object."""
    taken: NDArray[np.bool_] | None = None
    apart = {}
    for object_id in sorted(masks, reverse=overlap != "lowest"):
        mask = masks[object_id]
        apart[object_id] = mask if taken is None else mask & ~taken
        taken = mask if taken is None else taken | mask
    return apart
