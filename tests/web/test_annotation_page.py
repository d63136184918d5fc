"""Whole jobs in a real browser: what is exported is what the command line makes of the same prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from annotation_page import BRIGHT, AnnotationPage
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from running_server import COLUMNS, ROWS, Served, save_tiny_network, serving
from sure_classes import save_frames, save_sure_classes
from trocar.cli import main
from trocar.formats import open_source
from trocar.formats.rle import read_rle
from trocar.load import load
from trocar.masks import FrameMasks, from_rle
from trocar.prompts import prompts_from_json
from trocar.serve.settings import ServeSettings
from trocar.track.session import Session

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

LARYNX = (512, 512)
LAST = 9


def from_cli(source: Path, prompts: list[dict[str, Any]], out: Path, format: str, *more: str) -> Path:
    (out / "prompts.json").write_text(json.dumps(prompts))
    asked = ["segment", str(source), "--prompts", str(out / "prompts.json"), "--out", str(out / "cli"), *more]
    assert main([*asked, "--format", format, "--device", "cpu"]) == 0
    return out / "cli"


def equal(one: list[FrameMasks], other: list[FrameMasks]) -> bool:
    """Whether all masks of all frames are the same; an object that is absent counts as an empty mask."""
    found = [
        {(frame.frame, name): mask for frame in masks for name, mask in frame.masks.items() if mask.any()}
        for masks in (one, other)
    ]
    return found[0].keys() == found[1].keys() and all(np.array_equal(found[0][at], found[1][at]) for at in found[0])


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_surgical_clip_from_box_to_export(page: AnnotationPage, served: Served, tmp_path: Path) -> None:
    clip = served.service.settings.roots["files"] / "larynx"
    page.new_project("larynx")
    page.keep("annotate-open")
    page.open_file("larynx", "This folder")
    page.page.keyboard.press("b")
    page.drag(page.at(195, 93, LARYNX), page.at(353, 357, LARYNX))
    page.edited(1)
    page.page.keyboard.press("n")
    page.page.wait_for_selector("#objects li:nth-child(2)")
    page.drag(page.at(187, 330, LARYNX), page.at(373, 508, LARYNX))
    page.edited(2)
    page.page.keyboard.press("s")
    page.drag(*(page.at(*place, LARYNX) for place in ((250, 400), (270, 440), (310, 460), (340, 500))))
    page.edited(3)
    page.track()
    assert page.shown() == 0
    tracked = page.masks(tmp_path)
    given = page.prompts()
    assert [(one["object"], "scribble" in one) for one in given] == [(1, False), (2, False), (2, True)]
    assert np.allclose(given[0]["box"], [195, 93, 353, 357], atol=1)
    cli = from_cli(clip, given, tmp_path, "rle")
    assert equal(tracked, list(read_rle(cli / "masks.json")))

    # A correction on the last frame, a slip that is taken back, and all of it again.
    page.go_to(LAST)
    page.page.focus("#frame")
    page.page.keyboard.press("1")
    page.page.keyboard.press("p")
    page.page.keyboard.down("Shift")
    page.page.mouse.click(*page.at(280, 480, LARYNX))
    page.page.keyboard.up("Shift")
    page.edited(4)
    page.page.mouse.click(*page.at(20, 20, LARYNX))
    page.edited(5)
    page.page.keyboard.press("Control+z")
    page.edited(4)
    page.track()
    corrected = page.masks(tmp_path)
    correction = page.prompts()[3]
    assert (correction["object"], correction["frame"], correction["positive"]) == (1, LAST, False)
    session = Session(load("nano", "cpu"), open_source(clip))
    for one in prompts_from_json(json.dumps(given)):
        session.add(one.prompt, frame=one.frame, object_id=one.object_id)
    list(session.propagate("both"))
    session.add(prompts_from_json(json.dumps([correction]))[0].prompt, frame=LAST, object_id=1)
    assert equal(corrected, list(session.propagate("both")))
    assert not equal(corrected, tracked)
    for row, name in ((1, "glottis"), (2, "tube")):
        page.page.fill(f"#objects li:nth-child({row}) input[type=text]", name)
        page.page.press(f"#objects li:nth-child({row}) input[type=text]", "Enter")
    page.keep("annotate-video")

    # Undo outlives the page: loaded again, the correction can still be taken back.
    page.page.reload()
    assert page.shown() == LAST
    page.page.click("#undo:not([disabled])")
    page.edited(3)
    page.track()
    assert equal(page.masks(tmp_path), tracked)
    assert page.page.is_enabled("#redo")


def test_only_frames_in_the_range_are_tracked_anew(page: AnnotationPage, tmp_path: Path) -> None:
    page.new_project("range")
    page.open_file("clip.mp4")
    page.page.keyboard.press("b")
    page.drag(page.at(2, 9, (ROWS, COLUMNS)), page.at(21, 31, (ROWS, COLUMNS)))
    page.edited(1)
    page.track()
    before = {one.frame: one for one in page.masks(tmp_path)}
    for frame, key in ((25, "["), (35, "]"), (30, "r")):
        page.go_to(frame)
        page.page.keyboard.press(key)
    page.drag(page.at(40, 40, (ROWS, COLUMNS)), page.at(60, 40, (ROWS, COLUMNS)))
    page.edited(2)
    page.page.keyboard.press("g")
    page.page.wait_for_timeout(500)
    page.page.wait_for_selector("#job", state="hidden")
    page.page.wait_for_timeout(500)
    page.page.wait_for_selector("#job", state="hidden")
    after = {one.frame: one for one in page.masks(tmp_path)}
    changed = [frame for frame in after if not equal([before[frame]], [after[frame]])]
    assert 30 in changed
    assert set(changed) <= set(range(25, 36))
    assert min(changed) < 30 < max(changed)


def test_drawn_masks_are_where_they_were_drawn(page: AnnotationPage, tmp_path: Path) -> None:
    """Brush, eraser and lasso against the same shapes drawn by Pillow; and what is on the screen against the export."""
    size = (ROWS, COLUMNS)
    page.new_project("drawn")
    page.open_file("clip.mp4")
    page.page.keyboard.press("r")
    page.page.fill("#brush", "10")
    page.drag(page.at(15, 20, size), page.at(40, 20, size))
    page.edited(1)
    painted = from_rle(page.prompts()[0]["mask"])
    capsule = drawing(lambda pen: (pen.line((60, 80, 160, 80), 1, 40), disc(pen, 60, 80, 20), disc(pen, 160, 80, 20)))
    assert iou(painted, capsule) > 0.9

    page.page.keyboard.press("e")
    page.drag(page.at(40, 0, size), page.at(40, 47, size))
    page.edited(2)
    cut = from_rle(page.prompts()[1]["mask"])
    assert iou(cut, painted & ~drawing(lambda pen: pen.rectangle((140, 0, 180, 191), 1))) > 0.9

    page.page.keyboard.press("l")
    corners = [(10.0, 5.0), (55.0, 10.0), (30.0, 44.0)]
    page.drag(*(page.at(*place, size) for place in (*corners, corners[0])))
    page.edited(3)
    lasso = from_rle(page.prompts()[2]["mask"])
    assert iou(lasso, drawing(lambda pen: pen.polygon([(x * 4, y * 4) for x, y in corners], 1))) > 0.9

    page.page.mouse.move(5, 5)
    page.page.wait_for_timeout(200)
    with_mask, _ = page.pixels("#frame")
    page.page.keyboard.press("m")
    page.page.wait_for_timeout(200)
    without, corner = page.pixels("#frame")
    assert np.array_equal(page.masks(tmp_path)[0].masks[1], lasso)
    left, top = page.at(0, 0, size)
    right, bottom = page.at(COLUMNS, ROWS, size)
    inside = np.s_[
        round(top - corner[1]) : round(bottom - corner[1]), round(left - corner[0]) : round(right - corner[0])
    ]
    seen = (np.abs(with_mask[inside].astype(int) - without[inside]) > 8).any(axis=2)
    wanted = Image.fromarray(lasso).resize(seen.shape[::-1], Image.Resampling.NEAREST)
    assert iou(seen, np.asarray(wanted)) > 0.97


def drawing(draw: Any) -> NDArray[np.bool_]:
    """A shape drawn at four times the size of a frame, brought back to it."""
    picture = Image.new("L", (COLUMNS * 4, ROWS * 4))
    draw(ImageDraw.Draw(picture))
    pixels = np.asarray(picture, np.float32)
    return pixels.reshape(ROWS, 4, COLUMNS, 4).mean(axis=(1, 3)) >= 0.5


def disc(pen: ImageDraw.ImageDraw, x: int, y: int, radius: int) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), 1)


def test_an_oblique_volume_in_three_planes(page: AnnotationPage, served: Served, tmp_path: Path) -> None:
    """The bright ball is clicked where it is seen in each plane: the points are in it, and the masks the CLI's."""
    file = served.service.settings.roots["files"] / "oblique.nii.gz"
    page.new_project("volume")
    page.open_file("oblique.nii.gz")
    page.page.wait_for_selector("#volume[data-ready]")
    page.page.click("#add")
    page.page.wait_for_selector("#objects li")
    source = open_source(file)
    for number in range(3):
        x, y = ball_in_tile(page, number)
        if number:
            page.page.mouse.dblclick(x, y)
        else:
            page.page.mouse.click(x, y)
            page.page.focus("#volume")
            page.page.keyboard.press("Enter")
        page.edited(number + 1)
        point = page.prompts()[-1]
        column, row = (int(value) for value in point["point"])
        assert source.values(point["frame"])[row, column] > BRIGHT, f"plane {number}: {point}"
    page.track()
    page.page.wait_for_selector("#volume[data-labels='1']")
    page.go_to(11)
    page.page.focus("#volume")
    page.keep("annotate-volume")
    made = tmp_path / "page.nii.gz"
    made.write_bytes(page.export("nifti"))
    cli = from_cli(file, page.prompts(), tmp_path, "nifti")
    expected, found, original = (nib.load(path) for path in (next(cli.glob("*.nii.gz")), made, file))
    assert np.array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))
    assert np.asarray(found.dataobj).any()
    assert np.allclose(found.affine, original.affine, atol=1e-5)


def ball_in_tile(page: AnnotationPage, number: int) -> tuple[float, float]:
    """The middle of the bright ball on the screen, in the planes from the upper left on; the last tile is in 3-D."""
    picture, (left, top) = page.pixels("#volume")
    grey = (np.ptp(picture.astype(int), axis=2) < 40) & (picture.min(axis=2) > 200)
    labels, count = ndimage.label(ndimage.binary_closing(grey, iterations=3))
    sizes = ndimage.sum_labels(grey, labels, range(1, count + 1))
    middles = ndimage.center_of_mass(grey, labels, [int(at) + 1 for at in np.flatnonzero(sizes > 150)])
    # The upper row first, and from left to right in it.
    rows, columns = picture.shape[0] / 2, picture.shape[1]
    y, x = sorted(middles, key=lambda middle: (middle[0] > rows) * columns + middle[1])[number]
    return left + x, top + y


def test_a_set_of_pictures_of_different_sizes(page: AnnotationPage, served: Served, tmp_path: Path) -> None:
    folder = served.service.settings.roots["files"] / "set"
    folder.mkdir()
    for number, size in enumerate(((64, 48), (80, 60), (48, 48))):
        picture = Image.new("RGB", size, (90, 90, 90))
        disc(ImageDraw.Draw(picture), 24, 24, 12)
        picture.save(folder / f"cell-{number}.png")
    page.page.reload()
    page.new_project("set")
    page.page.click("summary")
    page.page.select_option("#as", "set")
    page.open_file("set", "This folder")
    assert "cell-0" in page.page.inner_text("#of")
    assert page.page.is_hidden("#forward")
    page.go_to(1)
    page.page.keyboard.press("b")
    page.drag(page.at(10, 10, (60, 80)), page.at(38, 38, (60, 80)))
    page.edited(1)
    assert np.allclose(page.prompts()[0]["box"], [10, 10, 38, 38], atol=0.5)
    page.track()
    masks = {one.frame: one.masks[1].shape for one in page.masks(tmp_path)}
    assert masks == {0: (48, 64), 1: (60, 80), 2: (48, 48)}


def test_objects_are_found_by_the_name_of_their_class(browser: Browser, tmp_path: Path) -> None:
    frames, out = tmp_path / "files" / "frames", tmp_path / "out"
    save_frames(frames)
    out.mkdir()
    model = save_tiny_network(tmp_path / "tiny.safetensors")
    classes = str(save_sure_classes(tmp_path / "classes.safetensors", model))
    roots = {"files": frames.parent}
    settings = ServeSettings(tmp_path / "project", roots, model=str(model), device="cpu", class_model=classes)
    with serving(settings) as running:
        context = browser.new_context()
        page = AnnotationPage(context.new_page(), running.address)
        page.open_file("frames", "This folder")
        page.page.check("#class-names input[value=hook]")
        page.page.click("#find button")
        page.page.wait_for_selector("#objects input[type=text]")
        page.page.wait_for_selector("#job", state="hidden")
        page.page.wait_for_timeout(500)
        found = page.masks(out)
        assert page.page.input_value("#objects li:first-child input[type=text]") == "hook"
        context.close()
    command = ["segment", str(frames), "--model", str(model), "--class", "hook", "--class-model", classes]
    assert main([*command, "--out", str(out / "cli"), "--format", "rle", "--device", "cpu"]) == 0
    expected = list(read_rle(out / "cli" / "masks.json"))
    assert any(mask.any() for frame in expected for mask in frame.masks.values())
    assert equal(found, expected)
