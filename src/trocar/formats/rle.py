"""Masks as COCO run-length codes: a journal of JSON lines while frames are made, a JSON document at the end.

Every frame is `{"frame": n, "objects": [{"id", "size": [rows, columns], "counts", "score", "prompted"}]}`; size and
counts are what pycocotools reads and writes. Masks are stored one by one, so overlaps survive; the head says what they
lie on, so that nothing else is needed to go on to another format.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ObjectInfo, ReadOptions, Term
from trocar.formats.whole_file import naming_full_disk, whole_file
from trocar.frames import FrameSource, geometry_of
from trocar.geometry import Geometry
from trocar.masks import FrameMasks
from trocar.masks.rle import from_rle, to_rle

KIND = "trocar-masks"
ABSENT = -1  # the place of a frame that is not in the journal


def encode_frame(masks: FrameMasks) -> dict[str, Any]:
    """A frame's masks as JSON values."""
    objects = []
    for object_id, mask in sorted(masks.masks.items()):
        entry: dict[str, Any] = {"id": object_id, **to_rle(mask)}
        if object_id in masks.scores:
            entry["score"] = round(float(masks.scores[object_id]), 6)
        objects.append(entry | ({"prompted": True} if object_id in masks.prompted else {}))
    return {"frame": masks.frame, "objects": objects}


def decode_frame(record: dict[str, Any]) -> FrameMasks:
    """The masks that `encode_frame` wrote."""
    objects = record["objects"]
    return FrameMasks(
        record["frame"],
        {int(o["id"]): from_rle({"size": o["size"], "counts": o["counts"]}) for o in objects},
        {o["id"]: o["score"] for o in objects if "score" in o},
        frozenset(o["id"] for o in objects if o.get("prompted")),
    )


def _describe(source: FrameSource) -> dict[str, Any]:
    head = {"kind": KIND, "source": Path(source.name).name, "frames_in_source": len(source)}
    head["size"] = list(source.geometry.size)
    if source.geometry.spacing_mm is not None:
        head["spacing_mm"] = list(source.geometry.spacing_mm)
    if source.geometry.affine is not None:
        head["affine"] = source.geometry.affine.tolist()
    if names := getattr(source, "names", ()):
        head["names"] = list(names)
    if geometries := getattr(source, "geometries", ()):
        head["sizes"] = [list(one.size) for one in geometries]
    return head


class MaskJournal:
    """Masks on disk as they are made, in any order, one line a frame; the last line of a frame counts.

    Opening goes on with what is there, finished or not; `clear` begins anew. The file ends in .part until `finish`. A
    line that a crash cut short is dropped when the journal is opened again. A finished one is the same however often
    the run was cut off.

    Args:
        path: the finished journal's name.
        source: what the masks belong to.

    Raises:
        ValueError: the file there is not a journal, or belongs to another source.
    """

    def __init__(self, path: Path, source: FrameSource) -> None:
        self.path = path
        self.formats: set[str] = set()
        """Names of the formats that have been written beside this journal."""
        self._part = path.with_name(path.name + ".part")
        self._head = _describe(source)
        # Where each frame's last line begins, -1 for none: all the memory that an hour of frames takes, from the start.
        self._offsets = np.full(len(source), ABSENT, np.int64)
        self._newest = ABSENT  # the last frame that was stored; the number of frames once they are not in order
        path.parent.mkdir(parents=True, exist_ok=True)
        self._end = self._recover(self._part if self._part.exists() else path)
        if path.exists() and not self._part.exists():
            os.replace(path, self._part)
        with naming_full_disk(path):
            self._file = self._part.open("a+b")
            self._file.truncate(self._end)
            if self._end == 0:
                self._put(self._head)

    def _recover(self, path: Path) -> int:
        """Read what a journal holds, and return where its last whole line ends."""
        end = 0
        if not path.exists():
            return end
        with path.open("rb") as file:
            for line in file:
                record = _whole_line(line)
                if end == 0 and record is not None:
                    self._check_head(record)
                if record is None:
                    if end == 0 and line.endswith(b"\n"):
                        self._check_head({})
                    break
                if "frame" in record:
                    self._place(record["frame"], end)
                self.formats.update(record.get("formats", ()))
                end += len(line)
        return end

    def _check_head(self, head: dict[str, Any]) -> None:
        if head.get("kind") != KIND:
            raise ValueError(f"{self.path} is not a journal of masks: choose another folder")
        if head != self._head:
            raise ValueError(
                f"{self.path.parent} holds masks of {head.get('source')} ({head.get('frames_in_source')} frames of "
                f"{head.get('size')}), not of {self._head['source']}: choose another folder"
            )

    def _put(self, record: dict[str, Any]) -> None:
        line = _line(record)
        with naming_full_disk(self.path):
            self._file.write(line)
            self._file.flush()
        self._end += len(line)

    def clear(self) -> None:
        """Forget everything stored."""
        self._offsets[:] = ABSENT
        self._newest = ABSENT
        self.formats.clear()
        self._file.truncate(0)
        self._end = 0
        self._put(self._head)

    def note_formats(self, names: Iterable[str]) -> None:
        """Store which formats are written beside this journal."""
        if not self.formats.issuperset(names):
            self.formats.update(names)
            self._put({"formats": sorted(self.formats)})

    def append(self, masks: FrameMasks) -> None:
        """Store a frame; it is with the operating system when this returns.

        Raises:
            OSError: the disk is full.
        """
        start = self._end
        self._put(encode_frame(masks))
        self._place(masks.frame, start)

    def _place(self, frame: int, offset: int) -> None:
        self._offsets[frame] = offset
        self._newest = frame if frame > self._newest else len(self._offsets)

    @property
    def frames(self) -> list[int]:
        """Numbers of the frames stored so far, ascending."""
        return [int(frame) for frame in np.flatnonzero(self._offsets != ABSENT)]

    def __iter__(self) -> Iterator[FrameMasks]:
        """The stored frames in display order, read from disk one at a time."""
        for frame in self.frames:
            yield self[frame]

    def __contains__(self, frame: int) -> bool:
        return 0 <= frame < len(self._offsets) and self._offsets[frame] != ABSENT

    def __getitem__(self, frame: int) -> FrameMasks:
        """What is stored of a frame."""
        self._file.seek(int(self._offsets[frame]))
        return decode_frame(json.loads(self._file.readline()))

    def close(self) -> None:
        """Close the file as it stands, to be resumed."""
        self._file.close()

    def finish(self) -> None:
        """Close the file and give it its finished name, with one line a frame, in order: however they were made."""
        if self._newest < len(self._offsets):
            self._file.close()
            os.replace(self._part, self.path)
            return
        with whole_file(self.path) as temporary, temporary.open("wb") as file:
            file.write(_line(self._head))
            if self.formats:
                file.write(_line({"formats": sorted(self.formats)}))
            for frame in self.frames:
                self._file.seek(int(self._offsets[frame]))
                file.write(self._file.readline())
        self._file.close()
        self._part.unlink()


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _whole_line(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def write_rle(path: Path, masks: MaskSet) -> None:
    """Write the JSON document: what the source and the objects are, and the frames in their order."""
    head = _describe(masks.on) | {"objects": {str(i): _said(info) for i, info in sorted(masks.objects.items())}}
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "frames": [')
        for number, one in enumerate(masks):
            file.write(("," if number else "") + "\n" + json.dumps(encode_frame(one)))
        file.write("\n]}\n")


def _said(info: ObjectInfo) -> dict[str, Any]:
    terms = {"terms": [[term.value, term.scheme, term.meaning] for term in info.terms]} if info.terms else {}
    return {"name": info.name} | terms


def read_rle(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks from a document (.json), a finished journal (.jsonl), or an output folder that holds one.

    Raises:
        FileNotFoundError, ValueError: missing, cut short, or not a file of masks.
    """
    if path.is_dir():
        path = next((path / name for name in ("masks.json", "masks.jsonl") if (path / name).exists()), path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    with _naming_damage(path):
        head, *records = _records(path)
        if head.get("kind") != KIND:
            raise KeyError("kind")
        rows, columns = head["size"]
        spacing = tuple(float(mm) for mm in head["spacing_mm"]) if "spacing_mm" in head else None
        affine = np.array(head["affine"], np.float64).reshape(4, 4) if "affine" in head else None
        geometry = Geometry((int(rows), int(columns)), spacing, affine)
        sizes = [(int(rows), int(columns)) for rows, columns in head.get("sizes", ())]
        on = Canvas(str(path), geometry, int(head["frames_in_source"]), head.get("names", ()), sizes)
        objects = {int(i): _info(said) for i, said in head.get("objects", {}).items()}

    def frames() -> Iterator[FrameMasks]:
        for record in records:
            with _naming_damage(path):
                masks = decode_frame(record)
                if any(mask.shape != geometry_of(on, masks.frame).size for mask in masks.masks.values()):
                    raise ValueError(f"a mask on frame {masks.frame} is not of the size in the head")
            yield masks

    return MaskSet(on, frames, objects)


def _info(said: dict[str, Any]) -> ObjectInfo:
    terms = tuple(Term(*(str(part) for part in term)) for term in said.get("terms", ()))
    return ObjectInfo(str(said["name"]), (terms[0], terms[1]) if len(terms) == 2 else None)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is not a file of masks, or is damaged ({error})") from error


def _records(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        document = json.loads(text)
        return [document, *sorted(document["frames"], key=lambda record: int(record["frame"]))]
    head, *lines = (json.loads(line) for line in text.splitlines())
    latest = {record["frame"]: record for record in lines if "frame" in record}
    return [head, *(latest[frame] for frame in sorted(latest))]
