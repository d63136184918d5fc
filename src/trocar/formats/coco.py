"""COCO's instance documents: pictures, categories and one annotation an object and picture.

Our documents say with `track_id`, as others do for video, which annotations are one object. Where a document has none,
every annotation is an object of its own and its id is the annotation's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from trocar.formats.images import natural_key
from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ObjectInfo, ReadOptions, picture_name
from trocar.formats.whole_file import whole_file
from trocar.frames import geometry_of
from trocar.geometry import Geometry
from trocar.masks import FrameMasks
from trocar.masks.rle import from_rle, rle_area, rle_box, to_rle

UNNAMED = "object"
"""The category of objects that nobody named."""


def write_coco(path: Path, masks: MaskSet) -> None:
    """Write a document with an image a frame and an annotation (run-length code) an object that is there."""
    sizes = [geometry_of(masks.on, frame).size for frame in range(len(masks.on))]
    images = [
        {"id": frame + 1, "width": columns, "height": rows, "file_name": picture_name(masks.on, frame)}
        for frame, (rows, columns) in enumerate(sizes)
    ]
    categories: dict[str, int] = {}
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {{"description": "masks of {_escaped(Path(masks.on.name).name)}"}}, "licenses": [],')
        file.write(f'\n"images": {json.dumps(images)},\n"annotations": [')
        count = 0
        for one in masks:
            for object_id, mask in sorted(one.masks.items()):
                if not mask.any():
                    continue
                name = masks.name_of(object_id) or UNNAMED
                category = categories.setdefault(name, len(categories) + 1)
                said = {"id": count + 1, "image_id": one.frame + 1, "category_id": category, "track_id": object_id}
                file.write(("," if count else "") + "\n" + json.dumps(said | _annotation(one, object_id, mask)))
                count += 1
        listed = [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()]
        file.write(f'\n],\n"categories": {json.dumps(listed)}}}\n')


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def _annotation(one: FrameMasks, object_id: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    code = to_rle(mask)
    said: dict[str, Any] = {"segmentation": code, "area": rle_area(code), "bbox": list(rle_box(code)), "iscrowd": 0}
    if object_id in one.scores:
        said["score"] = round(float(one.scores[object_id]), 6)
    return said | ({"prompted": True} if object_id in one.prompted else {})


def read_coco(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks of an instance document: run-length codes, compressed or plain, and polygons, drawn as COCO draws them.

    Pictures are in natural order of their file names.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, another kind of document, or pictures that differ in size.
    """
    document = load_document(path, "a COCO instance document", ("images", "annotations"))
    with naming_fault(path, "COCO instance document"):
        images = sorted(document["images"], key=lambda image: natural_key(str(image.get("file_name", image["id"]))))
        size = one_size(path, images)
        files = [Path(str(image["file_name"])).name for image in images if "file_name" in image]
        on = Canvas(str(path), Geometry(size), len(images), files if len(files) == len(images) else ())
        frame_of = {image["id"]: frame for frame, image in enumerate(images)}
        ids = _object_ids(document["annotations"])
        names = {category["id"]: str(category["name"]) for category in document.get("categories", [])}
        by_frame: dict[int, list[tuple[int, dict[str, Any]]]] = {}
        objects: dict[int, ObjectInfo] = {}
        losses: dict[str, str] = {}
        for object_id, said in zip(ids, document["annotations"], strict=True):
            by_frame.setdefault(frame_of[said["image_id"]], []).append((object_id, said))
            name = names.get(said.get("category_id"), UNNAMED)
            if name != UNNAMED:
                objects[object_id] = ObjectInfo(name)
            losses |= _losses(path, said)

    def frames() -> Iterator[FrameMasks]:
        for frame, found in sorted(by_frame.items()):
            with naming_fault(path, "COCO instance document"):
                masks: dict[int, NDArray[np.bool_]] = {}
                for object_id, said in found:  # an object in pieces has several annotations in a picture
                    mask = drawn(said["segmentation"], size)
                    masks[object_id] = masks[object_id] | mask if object_id in masks else mask
                scores = {i: float(said["score"]) for i, said in found if "score" in said}
                prompted = frozenset(i for i, said in found if said.get("prompted"))
            yield FrameMasks(frame, masks, scores, prompted)

    return MaskSet(on, frames, objects, losses)


def _object_ids(annotations: list[dict[str, Any]]) -> list[int]:
    """An object id for each annotation: its track's where all have one, else its own; ids from 0 move up by one."""
    key = "track_id" if annotations and all("track_id" in said for said in annotations) else "id"
    ids = [int(said[key]) for said in annotations]
    up = 1 if ids and min(ids) == 0 else 0
    return [object_id + up for object_id in ids]


def _losses(path: Path, said: dict[str, Any]) -> dict[str, str]:
    found = {}
    outlines = said["segmentation"]
    if isinstance(outlines, list) and any(float(x) != int(x) for outline in outlines for x in outline):
        found["outlines"] = f"{path} has polygons with corners between pixels, which are drawn as whole pixels"
    if said.get("iscrowd") and "track_id" not in said:
        found["crowds"] = f"{path} marks crowds (iscrowd), which are read as objects like others"
    return found


def drawn(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of COCO's `segmentation`: a run-length code or polygons [x0, y0, x1, y1, ...].

    Raises:
        ValueError: it is damaged or of another size.
    """
    if isinstance(segmentation, dict):
        if tuple(segmentation["size"]) != size:
            raise ValueError(f"a run-length code is of size {segmentation['size']}, its picture {list(size)}")
        return from_rle({"size": segmentation["size"], "counts": segmentation["counts"]})
    outlines = [[float(x) for x in outline] for outline in segmentation]
    if not outlines or any(len(outline) < 6 or len(outline) % 2 for outline in outlines):
        raise ValueError("a polygon has fewer than three corners")
    if not np.abs(np.concatenate(outlines)).max() < 10 * max(size):  # drawing walks along each edge, however long
        raise ValueError("a polygon has a corner far outside its picture")
    pieces = coco.decode(coco.frPyObjects(outlines, *size))
    mask: NDArray[np.bool_] = pieces.any(axis=2)
    return mask


def one_size(path: Path, pictures: list[dict[str, Any]]) -> tuple[int, int]:
    """The (rows, columns) that pictures, or videos, of a document have in common.

    Raises:
        ValueError: there are none, or they differ.
    """
    sizes = {(int(picture["height"]), int(picture["width"])) for picture in pictures}
    if len(sizes) != 1:
        said = "no pictures" if not sizes else f"pictures of {len(sizes)} sizes: split it into documents by size"
        raise ValueError(f"{path} lists {said}")
    return sizes.pop()


def load_document(path: Path, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """A JSON object that has certain keys.

    Raises:
        FileNotFoundError, ValueError: missing, damaged or something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is cut short or damaged: it is not JSON ({error})") from error
    if not isinstance(document, dict) or any(key not in document for key in keys):
        raise ValueError(f"{path} is not {what}: it lacks {' or '.join(keys)}")
    return document


@contextmanager
def naming_fault(path: Path, what: str) -> Iterator[None]:
    """Say which file a fault is in, as ValueError."""
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is damaged or no {what}: {type(error).__name__} {error}") from error
