"""YouTube-VIS documents: videos, categories and one annotation an object, with a run-length code a frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trocar.formats.coco import UNNAMED, drawn, load_document, naming_fault, one_size
from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ObjectInfo, ReadOptions, picture_name
from trocar.formats.whole_file import whole_file
from trocar.geometry import Geometry
from trocar.masks import FrameMasks
from trocar.masks.rle import Rle, rle_area, rle_box, to_rle


def write_youtube_vis(path: Path, masks: MaskSet) -> None:
    """Write a document of one video; the object's id is its annotation's. A frame without the object has null."""
    (rows, columns), length = masks.on.geometry.size, len(masks.on)
    stem = Path(masks.on.name).name.split(".")[0]
    files = [f"{stem}/{picture_name(masks.on, frame)}" for frame in range(length)]
    video = {"id": 1, "width": columns, "height": rows, "length": length, "file_names": files}
    codes: dict[int, list[Rle | None]] = {}
    for one in masks:
        for object_id, mask in one.masks.items():
            if mask.any():
                codes.setdefault(object_id, [None] * length)[one.frame] = to_rle(mask)
    names = list(dict.fromkeys(masks.name_of(i) or UNNAMED for i in sorted(codes)))
    document = {
        "info": {"description": f"masks of {Path(masks.on.name).name}"},
        "videos": [video],
        "categories": [{"id": n + 1, "name": name, "supercategory": ""} for n, name in enumerate(names)],
        "annotations": [
            {
                "id": object_id,
                "video_id": 1,
                "category_id": names.index(masks.name_of(object_id) or UNNAMED) + 1,
                "width": columns,
                "height": rows,
                "iscrowd": 0,
                "segmentations": track,
                "bboxes": [code and list(rle_box(code)) for code in track],
                "areas": [code and rle_area(code) for code in track],
            }
            for object_id, track in sorted(codes.items())
        ],
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")


def read_youtube_vis(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks of one video of a document; `options.key` names it by id or by the folder of its files.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, another kind of document, or several videos to choose from.
    """
    document = load_document(path, "a YouTube-VIS document", ("videos", "annotations"))
    with naming_fault(path, "YouTube-VIS document"):
        video = _choose(path, document["videos"], options.key)
        size = one_size(path, [video])
        files = [Path(name).name for name in video.get("file_names", [])]
        length = int(video.get("length", len(files)))
        on = Canvas(str(path), Geometry(size), length, files if len(files) == length else ())
        tracks = [said for said in document["annotations"] or [] if said["video_id"] == video["id"]]
        up = 1 if any(said["id"] == 0 for said in tracks) else 0  # no object has the id 0
        names = {category["id"]: str(category["name"]) for category in document.get("categories", [])}
        objects, losses = {}, {}
        for said in tracks:
            if len(said["segmentations"]) != length:
                raise ValueError(f"object {said['id']} has {len(said['segmentations'])} frames, its video {length}")
            name = names.get(said.get("category_id"), UNNAMED)
            if name != UNNAMED:
                objects[int(said["id"]) + up] = ObjectInfo(name)
            if any(isinstance(code, list) for code in said["segmentations"]):
                losses["outlines"] = f"{path} has polygons, which are drawn as whole pixels"

    def frames() -> Iterator[FrameMasks]:
        for frame in range(length):
            with naming_fault(path, "YouTube-VIS document"):
                found = {int(said["id"]) + up: said["segmentations"][frame] for said in tracks}
                masks = {i: drawn(code, size) for i, code in found.items() if code}
            if masks:
                yield FrameMasks(frame, masks)

    return MaskSet(on, frames, objects, losses)


def _choose(path: Path, videos: list[dict[str, Any]], key: str | None) -> dict[str, Any]:
    called = [(str(video["id"]), str(Path((video.get("file_names") or [""])[0]).parent)) for video in videos]
    found = [video for video, names in zip(videos, called, strict=True) if key is None or key in names]
    if len(found) != 1:
        listed = ", ".join(f"{number} ({folder})" for number, folder in called[:20]) or "none"
        raise ValueError(f"{path} holds the videos {listed}: say which with its id or folder as key")
    return found[0]
