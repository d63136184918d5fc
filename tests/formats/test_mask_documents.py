"""JSON, XML and PNG forms of masks as others write and read them."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_masks import content, dicom_series, masks_of
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from pycocotools.coco import COCO

from trocar.formats import FORMATS, ConvertOptions, MaskSet, ObjectInfo, ReadOptions, convert_masks, read_masks
from trocar.formats.convert import write_mask_set
from trocar.frames import ArraySource
from trocar.masks import FrameMasks

SIZE = (24, 30)


def on_pictures(frames: int = 4) -> MaskSet:
    """Objects on a source without geometry, two of them overlapping and one with a hole."""
    source = ArraySource(np.zeros((frames, *SIZE), np.uint8), name="clip")
    made = []
    for frame in range(frames):
        ring, block = np.zeros(SIZE, np.bool_), np.zeros(SIZE, np.bool_)
        ring[4:14, 3:20], ring[7:10, 6:12] = True, False
        block[8 + frame : 20, 10:29] = frame != 2
        made.append(FrameMasks(frame, {3: ring, 8: block}))
    return MaskSet(source, lambda: iter(made), {3: ObjectInfo("ring"), 8: ObjectInfo('a "block" <&>')})


def save(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def masks_at(masks: MaskSet, frame: int) -> dict[int, np.ndarray]:
    return {i: mask for one in masks if one.frame == frame for i, mask in one.masks.items() if mask.any()}


def test_pycocotools_reads_our_coco(tmp_path: Path) -> None:
    truth = on_pictures()
    write_mask_set(tmp_path / "c.json", truth, "coco")
    theirs = COCO(str(tmp_path / "c.json"))
    names = {theirs.cats[said["category_id"]]["name"] for said in theirs.anns.values()}
    assert names == {"ring", 'a "block" <&>'}
    assert len(theirs.imgs) == 4
    for one in truth:
        image = next(i for i in theirs.imgs.values() if i["file_name"] == f"{one.frame:05d}.png")
        found = {said["track_id"]: said for said in theirs.loadAnns(theirs.getAnnIds(image["id"]))}
        for object_id, mask in one.masks.items():
            if mask.any():
                said = found[object_id]
                assert np.array_equal(theirs.annToMask(said), mask)
                rows, columns = np.nonzero(mask)
                assert said["area"] == mask.sum()
                assert said["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            else:
                assert object_id not in found


def test_coco_of_others(tmp_path: Path) -> None:
    """No tracks: each annotation is an object. Polygons as pycocotools draws them; pictures in natural order."""
    plain = np.zeros(SIZE, np.uint8)
    plain[2:5, 3:9] = 1
    runs, last, count = [], 0, 0
    for value in plain.ravel(order="F"):  # the format's own definition of an uncompressed code
        if value != last:
            runs.append(count)
            last, count = value, 0
        count += 1
    outline = [[2, 2, 10, 2, 10, 9, 2, 9], [12, 12, 20.5, 12, 20.5, 18, 12, 18]]
    images = [{"id": n, "file_name": f"a/im{n}.jpg", "height": 24, "width": 30} for n in (10, 2)]
    annotations = [
        {"id": 0, "image_id": 2, "category_id": 1, "segmentation": {"size": [24, 30], "counts": [*runs, count]}},
        {"id": 5, "image_id": 10, "category_id": 2, "segmentation": outline, "iscrowd": 0},
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 2, "name": "nucleus"}]}
    masks = read_masks(save(tmp_path / "c.json", document))
    assert [*masks.on.names] == ["im2", "im10"]  # type: ignore[attr-defined]
    assert np.array_equal(masks_at(masks, 0)[1], plain == 1)
    drawn = coco.decode(coco.merge(coco.frPyObjects(outline, *SIZE)))
    assert np.array_equal(masks_at(masks, 1)[6], drawn == 1)
    assert {i: info.name for i, info in masks.objects.items()} == {6: "nucleus"}
    with pytest.raises(ValueError, match="corners between pixels, which are drawn as whole pixels: drop 'outlines'"):
        convert_masks(tmp_path / "c.json", tmp_path / "p", ConvertOptions(write_as="png"))
    convert_masks(tmp_path / "c.json", tmp_path / "p", ConvertOptions(write_as="png", drop=frozenset({"outlines"})))
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["im10.png", "im2.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "lists no pictures"),
        ({"images": [{"id": 1, "height": 2, "width": 2}, {"id": 2, "height": 3, "width": 2}]}, "pictures of 2 sizes"),
        ({"annotations": [{"id": 1, "image_id": 9, "segmentation": []}]}, "KeyError 9"),
        ({"annotations": [{"id": 1, "image_id": 1, "segmentation": [[1, 2]]}]}, "fewer than three corners"),
        ({"annotations": [{"id": 1, "image_id": 1, "segmentation": [[0, 0, 1e9, 0, 5, 5]]}]}, "far outside"),
        (
            {"annotations": [{"id": 1, "image_id": 1, "segmentation": {"size": [9, 9], "counts": [81]}}]},
            r"size \[9, 9\]",
        ),
        ({"annotations": [{"id": 1, "image_id": 1, "segmentation": {"size": [2, 2], "counts": [5]}}]}, "does not fill"),
    ],
)
def test_faulty_coco(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = {"images": [{"id": 1, "height": 2, "width": 2}], "annotations": []} | change
    with pytest.raises(ValueError, match=rf"c\.json.*{message}"):
        list(read_masks(save(tmp_path / "c.json", document)))


def test_youtube_vis(tmp_path: Path) -> None:
    truth = on_pictures()
    write_mask_set(tmp_path / "y.json", truth, "youtube-vis")
    document = json.loads((tmp_path / "y.json").read_text())
    assert document["videos"][0]["length"] == 4
    for said in document["annotations"]:
        for one, code in zip(truth, said["segmentations"], strict=True):
            mask = one.masks[said["id"]]
            assert (code is None) == (not mask.any())
            if code is not None:
                assert np.array_equal(coco.decode(code), mask)
    second = document["videos"][0] | {"id": 2, "file_names": [f"other/{n}.jpg" for n in range(4)]}
    document["videos"].append(second)
    document["annotations"].append(document["annotations"][0] | {"id": 44, "video_id": 2})
    save(tmp_path / "two.json", document)
    with pytest.raises(ValueError, match=r"holds the videos 1 \(clip\), 2 \(other\): say which"):
        read_masks(tmp_path / "two.json")
    for key in ("2", "other"):
        masks = read_masks(tmp_path / "two.json", options=ReadOptions(key=key))
        assert {i for _, i in content(masks)} == {44}


def test_cvat(tmp_path: Path) -> None:
    """The codes by CVAT's definition: rows in the box, first what is outside."""
    truth = on_pictures()
    write_mask_set(tmp_path / "a.xml", truth, "cvat")
    root = ET.parse(tmp_path / "a.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert {label.text for label in root.findall(".//label/name")} == {"ring", 'a "block" <&>'}
    wanted = {one.frame: one.masks for one in truth}
    for track in root.findall("track"):
        elements = {int(element.attrib["frame"]): element.attrib for element in track}
        for frame, said in elements.items():
            left, top, width, height = (int(said[name]) for name in ("left", "top", "width", "height"))
            pixels: list[int] = []
            for number, run in enumerate(said["rle"].split(", ")):
                pixels += [number % 2] * int(run)
            mask = np.zeros(SIZE, np.bool_)
            mask[top : top + height, left : left + width] = np.reshape(pixels, (height, width))
            if said["outside"] == "0":
                assert np.array_equal(mask, wanted[frame][int(track.attrib["id"])])
        if track.attrib["id"] == "8":
            assert [said["outside"] for _, said in sorted(elements.items())] == ["0", "0", "1", "0"]


def test_cvat_of_others(tmp_path: Path) -> None:
    head = "<annotations><meta><task><size>4</size><original_size><width>6</width><height>5</height></original_size>"
    mask = '<mask frame="{}" outside="{}" rle="1, 2, 1" left="1" top="2" width="2" height="2"/>'
    track = '<track id="0" label="x">' + mask.format(0, 0) + mask.format(2, 1) + "</track>"
    (tmp_path / "a.xml").write_text(f"{head}</task></meta>{track}</annotations>")
    masks = read_masks(tmp_path / "a.xml")
    assert [(frame, i) for frame, i in content(masks)] == [(0, 1), (1, 1)]  # held until it is outside; track 0 is 1
    assert np.argwhere(masks_at(masks, 1)[1]).tolist() == [[2, 2], [3, 1]]
    for wrong, message in (
        (track.replace("mask", "polygon"), "track 0 is made of polygon: only masks"),
        (track.replace('width="2"', 'width="9"'), "does not fit its box or its picture"),
        (track + track, "two tracks have one id"),
        ('<image id="0"/>', "CVAT for images"),
    ):
        (tmp_path / "b.xml").write_text(f"{head}</task></meta>{wrong}</annotations>")
        with pytest.raises(ValueError, match=rf"b\.xml: .*{message}"):
            list(read_masks(tmp_path / "b.xml"))


def test_labelme_draws_our_polygons_exactly(tmp_path: Path) -> None:
    """By labelme's way to draw: Pillow's polygon with its outline, and pictures pasted into boxes."""
    truth = masks_of(dicom_series(tmp_path / "ct", "straight"))
    write_mask_set(tmp_path / "lm", truth, "labelme")
    kinds = set()
    for one in truth:
        document = json.loads((tmp_path / f"lm/{one.frame:05d}.json").read_text())
        drawn = {i: np.zeros(SIZE, np.bool_) for i in one.masks}
        for shape in document["shapes"]:
            kinds.add(shape["shape_type"])
            points = [tuple(point) for point in shape["points"]]
            if shape["shape_type"] == "polygon":
                assert len(points) > 2
                picture = Image.new("L", SIZE[::-1])
                ImageDraw.Draw(picture).polygon(points, outline=1, fill=1)
                drawn[shape["group_id"]] |= np.asarray(picture) == 1
            else:
                (x0, y0), (x1, y1) = (tuple(map(int, point)) for point in points)
                inside = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
                drawn[shape["group_id"]][y0 : y1 + 1, x0 : x1 + 1] |= inside
        assert all(np.array_equal(drawn[i], mask) for i, mask in one.masks.items())
    assert kinds == {"polygon", "mask"}


def test_labelme_of_others(tmp_path: Path) -> None:
    def shape(label: str, points: list[list[float]], kind: str = "polygon", group: int | None = None) -> dict[str, Any]:
        return {"label": label, "points": points, "shape_type": kind, "group_id": group}

    square = [[2, 3], [6, 3], [6, 8], [2, 8]]
    document = {"imageHeight": 24, "imageWidth": 30, "imagePath": "a.jpg"}
    save(tmp_path / "a.json", document | {"shapes": [shape("b", square), shape("a", [[9, 9], [4, 5]], "rectangle")]})
    masks = read_masks(tmp_path / "a.json")
    assert {i: info.name for i, info in masks.objects.items()} == {1: "a", 2: "b"}
    wanted = np.zeros(SIZE, np.bool_)
    wanted[3:9, 2:7] = True
    assert np.array_equal(masks_at(masks, 0)[2], wanted)
    assert masks_at(masks, 0)[1].sum() == 5 * 6
    twice = [shape("b", square), shape("b", [[12, 3], [16, 3], [16, 8.5]])]
    save(tmp_path / "a.json", document | {"shapes": twice})
    assert set(read_masks(tmp_path / "a.json").losses) == {"instances", "outlines"}
    with pytest.raises(ValueError, match=r"several shapes of one label without group_id.*drop 'instances'"):
        convert_masks(tmp_path / "a.json", tmp_path / "x", ConvertOptions(write_as="png"))
    save(tmp_path / "a.json", document | {"shapes": [shape("b", [[1, 1], [2, 2]], "circle")]})
    with pytest.raises(ValueError, match=r"a\.json: it has a circle of 2 points"):
        list(read_masks(tmp_path / "a.json"))


def test_png_folders(tmp_path: Path) -> None:
    truth = on_pictures()
    write_mask_set(tmp_path / "o", truth, "object-png")
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["003", "008"]
    for one in truth:
        for object_id, mask in one.masks.items():
            pixels = np.asarray(Image.open(tmp_path / f"o/{object_id:03d}/{one.frame:05d}.png"))
            assert np.array_equal(pixels, mask * np.uint8(255))
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "o/003/00002.png")
    with pytest.raises(ValueError, match=r"00002\.png is \(3, 3\)"):
        list(read_masks(tmp_path / "o"))
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(tmp_path / "o/003/00002.png")
    with pytest.raises(ValueError, match="is a colour picture, not a label map"):
        list(read_masks(tmp_path / "o"))


def test_frames_without_masks_keep_their_numbers(tmp_path: Path) -> None:
    late = np.ones(SIZE, np.bool_)
    source = ArraySource(np.zeros((5, *SIZE), np.uint8), name="clip")
    truth = MaskSet(source, lambda: iter([FrameMasks(3, {2: late})]))
    for name, info in FORMATS.items():
        if info.read_masks and info.writes and info.fits is None:
            path = tmp_path / name / info.output
            write_mask_set(path, truth, name)
            assert list(content(read_masks(path, name))) == [(3, 2)], name


def test_masks_are_matched_with_pictures_by_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / f"in/{name}.jpg")
    from trocar.formats import open_source

    source = open_source(tmp_path / "in")
    for name in ("c", "a"):
        Image.fromarray(np.full(SIZE, ord(name) - 96, np.uint8)).save(tmp_path / f"{name}.png")
    masks = read_masks(tmp_path, "png", source)
    assert list(content(masks)) == [(0, 1), (2, 3)]
    convert_masks(tmp_path / "c.png", tmp_path / "c.json", ConvertOptions(write_as="coco", source=source))
    files = [image["file_name"] for image in json.loads((tmp_path / "c.json").read_text())["images"]]
    assert files == ["a.jpg", "b.jpg", "c.jpg"]
    (tmp_path / "a.png").rename(tmp_path / "z.png")
    with pytest.raises(ValueError, match="has no picture for the mask 'z'"):
        read_masks(tmp_path, "png", source)
    clip = ArraySource(np.zeros((3, 9, 9), np.uint8), name="small")
    with pytest.raises(ValueError, match="are 30x24 but small is 9x9 pixels"):
        read_masks(tmp_path, "png", clip)


def test_the_contact_sheet_shows_frames_with_objects(tmp_path: Path) -> None:
    bright = ArraySource(np.full((40, 48, 64), 90, np.uint8), name="clip")
    mask = np.zeros((48, 64), np.bool_)
    mask[10:30, 10:40] = True
    truth = MaskSet(bright, lambda: (FrameMasks(i, {1: mask if i > 3 else ~mask & mask}) for i in range(40)))
    write_mask_set(tmp_path / "m.png", truth, "montage")
    sheet = np.asarray(Image.open(tmp_path / "m.png"))
    assert sheet.shape == (5 * (276 + 4) + 4, 5 * (256 + 4) + 4, 3)  # 24 of 36 frames in 5 x 5 places
    picture = sheet[4 + 20 + 32 : 4 + 20 + 32 + 192, 4 : 4 + 256]
    drawn = (picture != 90).any(axis=2)
    assert drawn[4 * 11 : 4 * 29, 4 * 11 : 4 * 39].mean() > 0.9
    assert not drawn[4 * 33 :].any()
    assert (sheet[4:24, 4:260] == 255).any()  # the caption
    with pytest.raises(ValueError, match="would show nothing"):
        write_mask_set(tmp_path / "n.png", MaskSet(bright, lambda: iter([])), "montage")


def test_outputs_in_every_format_while_masks_are_made(tmp_path: Path) -> None:
    from trocar.formats import MaskOutput

    truth = masks_of(dicom_series(tmp_path / "ct", "oblique"))
    names = [name for name, info in FORMATS.items() if info.writes]
    for _ in range(2):  # a second run replaces the first
        with MaskOutput(tmp_path / "out", truth.on, names, objects=truth.objects) as output:
            for one in reversed(list(truth)):
                output.write(one)
        for name in names:
            path = tmp_path / "out" / FORMATS[name].output
            assert path in output.paths
            if FORMATS[name].read_masks is not None:
                found = read_masks(path, name)
                assert content(found) == content(truth), name
                if "names" in FORMATS[name].holds:
                    assert found.objects[1].name == "liver"
    with pytest.raises(ValueError, match="refers to a DICOM series of slices, which clip is not"):
        MaskOutput(tmp_path / "o", on_pictures().on, ["dicom-seg"])
