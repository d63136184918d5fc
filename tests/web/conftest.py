"""Debian's Chromium, steered by playwright's Python client, and the packaged model behind a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from annotation_page import AnnotationPage, oblique_volume

from running_server import Served, save_clip, serving
from trocar.serve.settings import ServeSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DEMO = Path(__file__).parents[2] / "src/trocar/assets/demo/frames"

#: NiiVue draws with WebGL2; SwiftShader does that without a graphics card.
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed: install trocar[dev]")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo's clip, a longer video, and an oblique volume; the packaged model, without classes."""
    folder = tmp_path_factory.mktemp("web")
    files = folder / "files"
    shutil.copytree(DEMO, files / "larynx")
    save_clip(files / "clip.mp4", 40)
    oblique_volume(files / "oblique.nii.gz")
    settings = ServeSettings(folder / "project", {"files": files}, device="cpu", class_model="")
    with serving(settings) as running:
        yield running


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[AnnotationPage]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    shown = AnnotationPage(context.new_page(), served.address)
    yield shown
    context.close()
    assert shown.faults == []
    assert shown.hosts <= {served.address.removeprefix("http://")}
