"""COCO detections: a detector's boxes with scores, frame by frame.

A document has `images`, `categories` and `annotations` with `bbox` [x, y, width, height] and, where the detector says
it, `score`; images come in the natural order of their file names. A bare list of results, as detectors write them for
COCO's own scoring, has no names: image_id then is the frame's number from 0, and category_id the class's number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trocar.formats.coco import naming_fault
from trocar.formats.images import natural_key
from trocar.prompts import Box

WHAT = "COCO file of detections"


@dataclass(frozen=True)
class Detection:
    """What a detector found on a frame.

    Args:
        class_name: of it.
        box: its corners are the first and the last pixel.
        score: 0..1.
    """

    class_name: str
    box: Box
    score: float


def read_detections(path: Path, frames: int, names: Mapping[int, str]) -> list[list[Detection]]:
    """The detections of each frame.

    Args:
        path: the file.
        frames: how many frames there are.
        names: class number -> name, for a bare list of results.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or something else, is of other frames, or has a class without a name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: detections lie in DATASET/CASE.json")
    with naming_fault(path, WHAT):
        said = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(said, list):
            places = {number: number for number in range(frames)}
            results, classes = said, dict(names)
        else:
            images = sorted(said["images"], key=lambda image: natural_key(str(image["file_name"])))
            if len(images) != frames:
                raise ValueError(
                    f"{path} lists {len(images)} images, and {frames} frames are annotated: each needs one"
                )
            places = {image["id"]: place for place, image in enumerate(images)}
            results = said["annotations"]
            classes = {one["id"]: str(one["name"]).replace("_", " ") for one in said["categories"]}
        found: list[list[Detection]] = [[] for _ in range(frames)]
        for one in results:
            if one["image_id"] not in places:
                raise ValueError(f"{path} has detections on image {one['image_id']}: there are {frames} frames, from 0")
            if one["category_id"] not in classes:
                raise ValueError(f"{path} has detections of class {one['category_id']}, which has no name")
            box = _box(one["bbox"])
            if box is not None:
                detection = Detection(classes[one["category_id"]], box, float(one.get("score", 1.0)))
                found[places[one["image_id"]]].append(detection)
    return found


def _box(said: Any) -> Box | None:
    """None for a box of a pixel's width or less, which holds nothing to segment."""
    x, y, width, height = (float(value) for value in said)
    return Box(x, y, x + width - 1, y + height - 1) if min(width, height) > 1 else None
