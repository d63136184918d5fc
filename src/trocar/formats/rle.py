"""Masks as COCO run-length codes: a journal of JSON lines while frames are made, a JSON document at the end.

Every frame is `{"frame": n, "objects": [{"id", "size": [rows, columns], "counts", "score", "prompted"}]}`; size and
counts are what pycocotools reads and writes. Masks are stored one by one, so overlaps survive.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from trocar.formats.whole_file import naming_full_disk, whole_file
from trocar.frames import FrameSource
from trocar.masks import FrameMasks

KIND = "trocar-masks"


def encode_frame(masks: FrameMasks) -> dict[str, Any]:
    """A frame's masks as JSON values."""
    objects = []
    for object_id, mask in sorted(masks.masks.items()):
        code = coco.encode(np.asfortranarray(mask, np.uint8))
        entry = {"id": object_id, "size": [int(n) for n in code["size"]], "counts": code["counts"].decode("ascii")}
        if object_id in masks.scores:
            entry["score"] = round(float(masks.scores[object_id]), 6)
        objects.append(entry | ({"prompted": True} if object_id in masks.prompted else {}))
    return {"frame": masks.frame, "objects": objects}


def decode_frame(record: dict[str, Any]) -> FrameMasks:
    """The masks that `encode_frame` wrote."""
    objects = record["objects"]
    return FrameMasks(
        record["frame"],
        {o["id"]: coco.decode({"size": o["size"], "counts": o["counts"]}).astype(bool) for o in objects},
        {o["id"]: o["score"] for o in objects if "score" in o},
        frozenset(o["id"] for o in objects if o.get("prompted")),
    )


def _describe(source: FrameSource) -> dict[str, Any]:
    name = Path(source.name).name
    return {"kind": KIND, "source": name, "frames_in_source": len(source), "size": list(source.geometry.size)}


class MaskJournal:
    """Masks on disk as they are made, in any order, one line a frame; the last line of a frame counts.

    Opening goes on with what is there, finished or not; `clear` begins anew. The file ends in .part until `finish`. A
    line that a crash cut short is dropped when the journal is opened again.

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
        self._offsets: dict[int, int] = {}
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
                    self._offsets[record["frame"]] = end
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
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with naming_full_disk(self.path):
            self._file.write(line)
            self._file.flush()
        self._end += len(line)

    def clear(self) -> None:
        """Forget everything stored."""
        self._offsets.clear()
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
        self._offsets[masks.frame] = start

    @property
    def frames(self) -> list[int]:
        """Numbers of the frames stored so far, ascending."""
        return sorted(self._offsets)

    def __iter__(self) -> Iterator[FrameMasks]:
        """The stored frames in display order, read from disk one at a time."""
        for frame in self.frames:
            self._file.seek(self._offsets[frame])
            yield decode_frame(json.loads(self._file.readline()))

    def close(self) -> None:
        """Close the file as it stands, to be resumed."""
        self._file.close()

    def finish(self) -> None:
        """Close the file and give it its finished name."""
        self._file.close()
        os.replace(self._part, self.path)


def _whole_line(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def write_rle(path: Path, frames: Iterable[FrameMasks], source: FrameSource) -> None:
    """Write the JSON document: what the source is, and its frames in the order given."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        head = json.dumps(_describe(source))
        file.write(head[:-1] + ', "frames": [')
        for number, masks in enumerate(frames):
            file.write(("," if number else "") + "\n" + json.dumps(encode_frame(masks)))
        file.write("\n]}\n")


def read_rle(path: Path) -> Iterator[FrameMasks]:
    """Masks from a document (.json) or a finished journal (.jsonl), in display order.

    Raises:
        FileNotFoundError, ValueError: missing, cut short, or not a file of masks.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    try:
        records = _records(path)
        if records[0].get("kind") != KIND:
            raise KeyError("kind")
        yield from (decode_frame(record) for record in records[1:])
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
