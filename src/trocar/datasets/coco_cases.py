"""Cases from COCO's instance documents: pictures with outlines or run-length codes in one JSON file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.case import Case, FrameTruth, Mask
from trocar.datasets.picture_cases import Size, case_of_pictures
from trocar.formats.coco import drawn, load_document, naming_fault
from trocar.formats.images import natural_key
from trocar.masks import to_rle

WHAT = "COCO instance document"


@dataclass(frozen=True, eq=False)
class CocoPicture:
    """What a document says of one picture.

    Args:
        document: the file that says so.
        file: the picture's name there, which may have folders.
        size: its rows and columns there.
        instances: (class name, segmentation), in the document's order.
        crowds: segmentations of groups of things that nobody took apart (iscrowd).
    """

    document: Path
    file: str
    size: Size
    instances: tuple[tuple[str, Any], ...]
    crowds: tuple[Any, ...] = ()


def read_coco_pictures(path: Path, crowds: bool = False) -> list[CocoPicture]:
    """The pictures of a document in the natural order of their names; nothing is drawn.

    Args:
        path: the document.
        crowds: keep what is marked as a crowd apart; else it counts as an instance, because sets that write all
            their masks as run-length codes often mark them so.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, or something else.
    """
    document = load_document(path, f"a {WHAT}", ("images", "annotations", "categories"))
    with naming_fault(path, WHAT):
        names = {category["id"]: str(category["name"]).replace("_", " ") for category in document["categories"]}
        said: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
        for annotation in document["annotations"]:
            said[annotation["image_id"]].append(annotation)
        found = []
        for image in document["images"]:
            own = said[image["id"]]
            apart = [bool(crowds and one.get("iscrowd")) for one in own]
            drawings = [(names[one["category_id"]], one.get("segmentation")) for one in own]
            found.append(
                CocoPicture(
                    path,
                    str(image["file_name"]),
                    (int(image["height"]), int(image["width"])),
                    tuple(one for one, crowd in zip(drawings, apart, strict=True) if not crowd),
                    tuple(drawing for (_, drawing), crowd in zip(drawings, apart, strict=True) if crowd),
                )
            )
    return sorted(found, key=lambda picture: natural_key(picture.file))


def coco_case(
    name: str,
    pictures: Sequence[CocoPicture],
    images: Path,
    group: str = "",
    void: Callable[[CocoPicture], Mask] | None = None,
) -> Case:
    """A case whose frames are pictures of a document.

    The instances of a frame are numbered; a number has one class throughout the case, and says nothing else about
    which instances of two frames are one thing.

    Args:
        name: as for `Case`.
        pictures: one a frame.
        images: the folder that their names start from.
        group: as for `Case`.
        void: gives the pixels of a picture without a truth, besides crowds.
    """
    ids, objects = _numbered(pictures)

    def truth(frame: int, size: Size) -> FrameTruth:
        picture = pictures[frame]
        if picture.size != size:
            raise ValueError(
                f"{picture.document} has {picture.file} as {picture.size[1]} x {picture.size[0]} pixels, the file has "
                f"{size[1]} x {size[0]}: fetch both again"
            )
        with naming_fault(picture.document, WHAT):
            masks = {
                number: _mask(picture, one, size)
                for number, (_, one) in zip(ids[frame], picture.instances, strict=True)
            }
            ignored = [_mask(picture, one, size) for one in picture.crowds]
        if void is not None:
            ignored.append(void(picture))
        ignore = np.logical_or.reduce(ignored) if ignored else np.zeros(size, np.bool_)
        return FrameTruth(masks, ignore if ignore.any() else None)

    return case_of_pictures(name, [images / picture.file for picture in pictures], truth, objects, None, group)


def _numbered(pictures: Sequence[CocoPicture]) -> tuple[list[list[int]], dict[int, str]]:
    """Object ids of each picture's instances, and the class of each: its second hook has the same id on all."""
    ids: dict[tuple[str, int], int] = {}
    found = []
    for picture in pictures:
        seen: Counter[str] = Counter()
        own = []
        for class_name, _ in picture.instances:
            own.append(ids.setdefault((class_name, seen[class_name]), len(ids) + 1))
            seen[class_name] += 1
        found.append(own)
    return found, {number: class_name for (class_name, _), number in ids.items()}


def _mask(picture: CocoPicture, segmentation: Any, size: Size) -> Mask:
    if not segmentation:
        raise ValueError(f"something on {picture.file} has a box alone and no segmentation: masks are needed")
    return drawn(segmentation, size)


def write_coco_fixture(
    path: Path, labels: Mapping[str, NDArray[np.uint8]], classes: Mapping[int, str], crowds: Sequence[str] = ()
) -> None:
    """Write a small document for tests: an instance for each value of each label map, as a run-length code.

    Args:
        path: the document.
        labels: picture's name -> (rows, columns) class ids.
        classes: class id -> name.
        crowds: pictures whose instances are marked as crowds.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, values in labels.items():
        rows, columns = values.shape
        images.append({"id": len(images) + 1, "file_name": name, "height": rows, "width": columns})
        for number in np.unique(values[values > 0]).tolist():
            annotation = {"id": len(annotations) + 1, "image_id": len(images), "category_id": number}
            annotation |= {"segmentation": to_rle(values == number), "iscrowd": int(name in crowds)}
            annotations.append(annotation | {"area": int((values == number).sum())})
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in classes.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
