"""CVAT for video 1.1: one XML document with a track an object, whose masks are run-length codes in their boxes.

A code counts pixels row by row inside the box, first those outside the object. A track's mask stays until the track's
next element; one that is `outside` ends it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from trocar.formats.coco import UNNAMED, naming_fault
from trocar.formats.colours import colour_of
from trocar.formats.mask_set import AS_IT_IS, Canvas, MaskSet, ObjectInfo, ReadOptions
from trocar.formats.whole_file import whole_file
from trocar.geometry import Geometry
from trocar.masks import FrameMasks
from trocar.masks.rle import Rle, from_rle, to_rle

VERSION = "1.1"


def write_cvat(path: Path, masks: MaskSet) -> None:
    """Write a track an object, with the object's id, and an element a frame where it is there."""
    codes: dict[int, dict[int, Rle]] = {}
    for one in masks:
        for object_id, mask in one.masks.items():
            if mask.any():
                codes.setdefault(object_id, {})[one.frame] = to_rle(mask)
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n')
        root = ET.Element("annotations")
        ET.SubElement(root, "version").text = VERSION
        root.append(_meta(masks, sorted(codes)))
        ET.indent(root)
        file.write(ET.tostring(root, encoding="unicode").removesuffix("</annotations>"))
        for object_id, frames in sorted(codes.items()):
            label = quoteattr(masks.name_of(object_id) or UNNAMED)
            file.write(f'  <track id="{object_id}" label={label} source="auto">\n')
            for frame, code in frames.items():
                file.write(_element(frame, code))
                if frame + 1 < len(masks.on) and frame + 1 not in frames:
                    file.write(_element(frame + 1, code, outside=True))
            file.write("  </track>\n")
        file.write("</annotations>\n")


def _meta(masks: MaskSet, ids: list[int]) -> ET.Element:
    meta = ET.Element("meta")
    task = ET.SubElement(meta, "task")
    for tag, text in (("name", Path(masks.on.name).name), ("size", str(len(masks.on))), ("mode", "interpolation")):
        ET.SubElement(task, tag).text = text
    labels = ET.SubElement(task, "labels")
    first = {masks.name_of(i) or UNNAMED: i for i in reversed(ids)}
    for name, object_id in sorted(first.items()):
        label = ET.SubElement(labels, "label")
        red, green, blue = colour_of(object_id)
        for tag, text in (("name", name), ("color", f"#{red:02x}{green:02x}{blue:02x}"), ("type", "mask")):
            ET.SubElement(label, tag).text = text
        ET.SubElement(label, "attributes")
    rows, columns = masks.on.geometry.size
    size = ET.SubElement(task, "original_size")
    ET.SubElement(size, "width").text, ET.SubElement(size, "height").text = str(columns), str(rows)
    return meta


def _element(frame: int, code: Rle, outside: bool = False) -> str:
    mask = from_rle(code)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left, height, width = rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    inside = mask[top : top + height, left : left + width].ravel()
    changes = np.flatnonzero(np.diff(inside)) + 1
    runs = np.diff([0, *changes, inside.size]).tolist()
    said = ", ".join(str(run) for run in ([0, *runs] if inside[0] else runs))
    return (
        f'    <mask frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" rle="{said}" '
        f'left="{left}" top="{top}" width="{width}" height="{height}" z_order="0"></mask>\n'
    )


def read_cvat(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """Masks of a "CVAT for video 1.1" document; the object's id is its track's, one more if there is a track 0.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, another kind of document, or shapes that are not masks.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise ValueError(f"{path} is cut short or damaged: it is not XML ({error})") from error
    with naming_fault(path, "CVAT document"):
        if root.find("image") is not None:
            raise ValueError("this is CVAT for images, where nothing says which masks are one object: export for video")
        rows, columns = (_number(root, f".//original_size/{side}") for side in ("height", "width"))
        size = (rows, columns)
        length = _number(root, ".//size")
        on = Canvas(str(path), Geometry(size), length)
        tracks = root.findall("track")
        up = 1 if any(track.get("id") == "0" for track in tracks) else 0
        shown = {int(track.attrib["id"]) + up: _shown(track, length) for track in tracks}
        if len(shown) != len(tracks):
            raise ValueError("two tracks have one id: number them apart")
        called = {int(track.attrib["id"]) + up: track.get("label", UNNAMED) for track in tracks}
        objects = {i: ObjectInfo(name) for i, name in called.items() if name != UNNAMED}

    def frames() -> Iterator[FrameMasks]:
        for frame in range(length):
            with naming_fault(path, "CVAT document"):
                masks = {i: _mask(track[frame], size) for i, track in shown.items() if frame in track}
            if masks:
                yield FrameMasks(frame, masks)

    return MaskSet(on, frames, objects)


def _number(root: ET.Element, where: str) -> int:
    text = root.findtext(where)
    if text is None:
        raise ValueError(f"it does not say {where.split('/')[-1]}: export it as CVAT for video 1.1")
    return int(text)


def _shown(track: ET.Element, length: int) -> dict[int, ET.Element]:
    """The element that is shown on each frame where the object is there."""
    others = {element.tag for element in track} - {"mask"}
    if others:
        raise ValueError(f"track {track.get('id')} is made of {', '.join(sorted(others))}: only masks can be read")
    elements = sorted(track, key=lambda element: int(element.attrib["frame"]))
    ends = [*(int(element.attrib["frame"]) for element in elements[1:]), length]
    shown: dict[int, ET.Element] = {}
    for element, end in zip(elements, ends, strict=True):
        if element.get("outside") != "1":
            shown |= dict.fromkeys(range(int(element.attrib["frame"]), end), element)
    return shown


def _mask(element: ET.Element, size: tuple[int, int]) -> NDArray[np.bool_]:
    left, top, width, height = (int(element.attrib[side]) for side in ("left", "top", "width", "height"))
    runs = [int(run) for run in element.attrib["rle"].split(",")]
    fits = left >= 0 and top >= 0 and top + height <= size[0] and left + width <= size[1]
    if not fits or min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"the mask on frame {element.attrib['frame']} does not fit its box or its picture")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = np.zeros(size, np.bool_)
    mask[top : top + height, left : left + width] = inside.reshape(height, width)
    return mask
