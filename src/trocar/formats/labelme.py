"""labelme's JSON, one file a picture: polygons where they draw the mask exactly, else labelme's `mask` shapes.

labelme draws a polygon through pixels with its outline; the corners written here are centres of pixels of the outline.
`group_id` is the object's id. A mask that a polygon would change (holes, threads one pixel wide that fold back) is
written as a picture inside its box, which labelme reads since version 5.2.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trocar.formats.coco import UNNAMED, load_document, naming_fault, one_size
from trocar.formats.images import natural_key
from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ObjectInfo, ReadOptions, frame_name, picture_name
from trocar.formats.whole_file import whole_file
from trocar.frames import geometry_of
from trocar.geometry import Geometry
from trocar.masks import FrameMasks

VERSION = "5.2.0"
"""The first that reads everything that is written here."""


def write_labelme(folder: Path, one: FrameMasks, masks: MaskSet) -> Path:
    """Write the file of one frame."""
    rows, columns = geometry_of(masks.on, one.frame).size
    shapes = [
        shape | {"label": masks.name_of(i) or UNNAMED, "group_id": i, "description": "", "flags": {}}
        for i, mask in sorted(one.masks.items())
        for shape in _shapes(mask)
    ]
    document: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture_name(masks.on, one.frame),
        "imageData": None,
        "imageHeight": rows,
        "imageWidth": columns,
    }
    path = folder / f"{frame_name(masks.on, one.frame)}.json"
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def _shapes(mask: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    """A shape a piece of a mask."""
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        piece = pieces == number
        contours, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corners = contours[0].reshape(-1, 2).tolist()
        if len(corners) > 2 and np.array_equal(_polygon(corners, mask.shape), piece):
            yield {"points": [[float(x), float(y)] for x, y in corners], "shape_type": "polygon", "mask": None}
            continue
        x, y, width, height = cv2.boundingRect(piece.astype(np.uint8))
        picture = io.BytesIO()
        Image.fromarray(piece[y : y + height, x : x + width]).save(picture, format="PNG")
        # labelme counts the box's last row and column in.
        box = [[float(x), float(y)], [float(x + width - 1), float(y + height - 1)]]
        yield {"points": box, "shape_type": "mask", "mask": base64.b64encode(picture.getvalue()).decode("ascii")}


def _polygon(corners: list[list[float]], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """A polygon as labelme draws it."""
    picture = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(picture).polygon([(x, y) for x, y in corners], outline=1, fill=1)
    return np.array(picture)


def read_labelme(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks from a folder of labelme files in natural order, or from one.

    Shapes with one `group_id` are one object. Without, shapes with one label are one object, in all pictures.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, pictures that differ in size, or shapes other than polygons,
            rectangles and masks.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    found = path.glob("*.json") if path.is_dir() else [path]
    files = sorted((file for file in found if not file.name.startswith(".")), key=lambda file: natural_key(file.name))
    documents = [load_document(file, "a labelme file", ("shapes", "imageHeight", "imageWidth")) for file in files]
    if not files:
        raise ValueError(f"{path} holds no labelme files: name a folder of JSON files")
    sizes = [{"height": document["imageHeight"], "width": document["imageWidth"]} for document in documents]
    size = one_size(path, sizes)
    on = Canvas(str(path), Geometry(size), len(files), [file.name for file in files])
    shapes = [shape for document in documents for shape in document["shapes"]]
    with naming_fault(path, "folder of labelme files"):
        objects, ids, losses = _objects(path, documents, shapes)

    def frames() -> Iterator[FrameMasks]:
        for frame, document in enumerate(documents):
            masks: dict[int, NDArray[np.bool_]] = {}
            for shape in document["shapes"]:
                with naming_fault(files[frame], "labelme file"):
                    object_id = ids[_key(shape)]
                    masks[object_id] = masks.get(object_id, np.zeros(size, np.bool_)) | _drawn(shape, size)
            yield FrameMasks(frame, masks)

    return MaskSet(on, frames, objects, losses)


def _key(shape: dict[str, Any]) -> int | str:
    """What tells objects apart."""
    group = shape.get("group_id")
    return str(shape["label"]) if group is None else int(group)


def _objects(
    path: Path, documents: list[dict[str, Any]], shapes: list[dict[str, Any]]
) -> tuple[dict[int, ObjectInfo], dict[int | str, int], dict[str, str]]:
    """What objects are called, the id of each key, and what reading loses."""
    groups = sorted({key for key in map(_key, shapes) if isinstance(key, int)})
    labels = sorted({key for key in map(_key, shapes) if isinstance(key, str)})
    up = 1 if 0 in groups else 0
    ids: dict[int | str, int] = {group: group + up for group in groups}
    ids |= {label: max(ids.values(), default=0) + number for number, label in enumerate(labels, start=1)}
    called = {ids[_key(shape)]: str(shape["label"]) for shape in shapes}
    losses = {}
    for document in documents:
        alone = [shape["label"] for shape in document["shapes"] if shape.get("group_id") is None]
        if len(set(alone)) < len(alone):
            losses["instances"] = f"{path} has several shapes of one label without group_id, read as one object"
    if any(shape.get("shape_type", "polygon") == "polygon" and _between(shape["points"]) for shape in shapes):
        losses["outlines"] = f"{path} has polygons with corners between pixels, which are drawn as whole pixels"
    return {i: ObjectInfo(name) for i, name in called.items() if name != UNNAMED}, ids, losses


def _between(points: list[list[float]]) -> bool:
    return any(float(x) != int(x) for point in points for x in point)


def _drawn(shape: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    kind, points = shape.get("shape_type", "polygon"), [[float(x) for x in point] for point in shape["points"]]
    if kind == "polygon" and len(points) > 2:
        return _polygon(points, size)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = np.sort(points, axis=0).tolist()
        return _polygon([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], size)
    if kind != "mask" or len(points) != 2:
        raise ValueError(f"it has a {kind} of {len(points)} points: only polygons, rectangles and masks can be read")
    (left, top), (right, bottom) = ((round(x), round(y)) for x, y in points)
    with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
        inside = np.asarray(picture) != 0
    fits = left >= 0 and top >= 0 and inside.shape == (bottom - top + 1, right - left + 1)
    if not fits or bottom >= size[0] or right >= size[1]:
        raise ValueError("a mask does not fit its box or its picture")
    mask = np.zeros(size, np.bool_)
    mask[top : bottom + 1, left : right + 1] = inside
    return mask
