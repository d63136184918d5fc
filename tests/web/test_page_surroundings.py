"""What surrounds the work on the annotation page: uploads, other users, tokens, windows, cancel, and sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests
from annotation_page import AnnotationPage, unzipped

from running_server import COLUMNS, ROWS, Served, save_clip, save_tiny_network, serving
from trocar.serve.settings import ServeSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_an_upload_is_opened_and_named_objects_are_exported(
    page: AnnotationPage, served: Served, tmp_path: Path
) -> None:
    page.new_project("uploads")
    page.page.set_input_files("#upload-files", served.service.settings.roots["files"] / "clip.mp4")
    page.page.wait_for_selector("#open-dialog", state="hidden")
    assert page.shown() == 0
    page.page.click("#add")
    page.page.fill("#objects input[type=text]", "grasper")
    page.page.press("#objects input[type=text]", "Enter")
    # Without a mouse: a box from a cross that the arrows move.
    page.page.focus("#frame")
    page.page.keyboard.press("b")
    page.page.keyboard.press("Control+ArrowLeft")
    page.page.keyboard.press("Enter")
    for _ in range(20):
        page.page.keyboard.press("Control+Shift+ArrowRight")
        page.page.keyboard.press("Control+Shift+ArrowDown")
    page.page.keyboard.press("Enter")
    page.edited(1)
    x0, y0, x1, y1 = page.prompts()[0]["box"]
    assert (y0, x1) == (ROWS / 2, COLUMNS)
    assert (COLUMNS / 2 - 1 < x0 < COLUMNS / 2, y1) == (True, ROWS)
    folder = unzipped(page.export("labelme"), tmp_path)
    assert {shape["label"] for file in folder.rglob("*.json") for shape in json.loads(file.read_text())["shapes"]} <= {
        "grasper"
    }


def test_a_second_user_looks_and_is_told_who_edits(page: AnnotationPage, browser: Browser) -> None:
    page.page.fill("#user", "Anna")
    page.page.press("#user", "Tab")
    page.new_project("two")
    page.open_file("clip.mp4")
    page.page.keyboard.press("b")
    page.drag(page.at(2, 9, (ROWS, COLUMNS)), page.at(21, 31, (ROWS, COLUMNS)))
    page.edited(1)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    other = AnnotationPage(context.new_page(), page.page.url)
    other.page.reload()
    other.shown()
    other.page.wait_for_selector("#lease:has-text('Anna edits this')")
    other.page.mouse.click(*other.at(10, 20, (ROWS, COLUMNS)))
    other.page.wait_for_selector(".toast:has-text('Anna edits')")
    context.close()
    assert len(page.prompts()) == 1


def test_window_and_wheel_of_a_volume(page: AnnotationPage) -> None:
    page.new_project("window")
    page.open_file("oblique.nii.gz")
    assert page.shown() == 15
    page.page.wait_for_selector("#volume[data-ready]")
    page.page.wait_for_timeout(500)
    first = [page.pixels(name)[0] for name in ("#frame", "#volume")]
    middle = page.at(30, 36, (72, 60), 1.1 / 1.2)
    page.page.mouse.move(*middle)
    page.page.mouse.down(button="right")
    page.page.mouse.move(middle[0] - 80, middle[1] + 20, steps=4)
    page.page.mouse.up(button="right")
    page.page.wait_for_timeout(500)
    assert page.page.input_value("#window") == "hand"
    turned = [page.pixels(name)[0] for name in ("#frame", "#volume")]
    assert all(np.abs(one.astype(int) - other).mean() > 1 for one, other in zip(first, turned, strict=True))
    page.page.select_option("#window", "")
    page.page.mouse.move(5, 5)
    page.page.wait_for_timeout(500)
    assert np.abs(page.pixels("#frame")[0].astype(int) - first[0]).max() <= 1
    page.page.select_option("#window", "abdomen")
    page.page.mouse.move(*middle)
    page.page.mouse.wheel(0, 100)
    page.page.wait_for_selector("#frame[data-shown='16']")


def test_a_token_is_asked_for_once(browser: Browser, tmp_path: Path) -> None:
    clip = save_clip(tmp_path / "files" / "clip.mp4")
    model = str(save_tiny_network(tmp_path / "tiny.safetensors"))
    settings = ServeSettings(
        tmp_path / "project", {"files": clip.parent}, token="correct-horse", model=model, device="cpu", class_model=""
    )
    with serving(settings) as locked:
        context = browser.new_context()
        page = AnnotationPage(context.new_page(), locked.address)
        page.page.fill("#token", "wrong-horse")
        page.page.press("#token", "Enter")
        page.page.wait_for_selector("#token-wrong:has-text('wrong')")
        page.page.fill("#token", "correct-horse")
        page.page.press("#token", "Enter")
        page.open_file("clip.mp4")
        assert page.shown() == 0
        context.close()


@pytest.mark.parametrize("zoom", [1.0, 1.5])
def test_everything_can_be_reached_at_every_size(browser: Browser, served: Served, zoom: float) -> None:
    """On a laptop's screen of 1366 x 768, at 100 % and 150 %: nothing outside, and all that can be used has a name."""
    viewport = {"width": round(1366 / zoom), "height": round(768 / zoom)}
    context = browser.new_context(viewport=viewport, device_scale_factor=zoom)
    page = AnnotationPage(context.new_page(), served.address)
    page.new_project(f"size {zoom}")
    page.open_file("clip.mp4")
    page.page.click("#add")
    page.page.wait_for_selector("#objects li button")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.page.evaluate("document.documentElement.scrollHeight") <= viewport["height"]
    for control in page.page.locator("button:visible, input:visible, select:visible, canvas:visible").all():
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        assert box is not None
        assert -1 <= box["x"] <= box["x"] + box["width"] <= viewport["width"] + 1
        assert -1 <= box["y"] <= box["y"] + box["height"] <= viewport["height"] + 1
        named = "(e) => e.ariaLabel || e.innerText || e.labels?.length || e.title"
        assert control.evaluate(named), control.evaluate("(e) => e.outerHTML")
    context.close()


def test_cancel_keeps_what_was_made_and_worst_finds_the_least_sure(page: AnnotationPage) -> None:
    page.new_project("cancel")
    page.open_file("clip.mp4")
    page.page.keyboard.press("b")
    page.drag(page.at(2, 9, (ROWS, COLUMNS)), page.at(21, 31, (ROWS, COLUMNS)))
    page.edited(1)
    page.page.keyboard.press("t")
    page.page.wait_for_selector("#told:has-text('frames/s')")
    page.page.reload()  # a page that is loaded again finds the work under way
    page.page.wait_for_selector("#told:has-text('frames/s')")
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#job", state="hidden")
    found = requests.get(f"{page.address}/api/sources/{page.source}/confidence", timeout=60).json()[0]
    assert 1 < len(found["frames"]) < 40
    tracked = {
        frame: score
        for frame, score in zip(found["frames"], found["scores"], strict=True)
        if frame not in found["prompted"] and score > 0
    }
    for score in sorted(tracked.values())[:2]:
        page.page.keyboard.press("w")
        page.page.wait_for_timeout(300)
        assert tracked[page.shown()] == score
