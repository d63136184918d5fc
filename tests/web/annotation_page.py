"""The annotation page as its user sees it: where things are on the screen, and what the hand does there."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from trocar.formats.rle import read_rle
from trocar.masks import FrameMasks

if TYPE_CHECKING:
    from playwright.sync_api import Page

BRIGHT = 160
"""Above this is the ball of `oblique_volume` and nothing else of it."""


def oblique_volume(path: Path) -> Path:
    """A ball with a brighter one off its middle; the voxels are anisotropic and tilted, the first axis goes left."""
    shape = (60, 72, 30)
    i, j, k = np.indices(shape)
    values = np.random.default_rng(0).normal(40, 8, shape)
    values[((i - 30) / 27) ** 2 + ((j - 36) / 33) ** 2 + ((k - 15) / 14) ** 2 > 1] = -900
    values[((i - 21) / 8) ** 2 + ((j - 42) / 10) ** 2 + ((k - 11) / 6) ** 2 < 1] += 2 * BRIGHT
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", [12, -9, 20], degrees=True).as_matrix()
    affine[:3, :3] = turned @ np.diag([-1.2, 1.1, 2.5])
    affine[:3, 3] = (30, -60, 15)
    nib.save(nib.Nifti1Image(values.astype(np.int16), affine), path)
    return path


class AnnotationPage:
    """The page in a browser's tab; it opens with the dialog that asks what to open.

    Args:
        page: an empty tab.
        address: of the server.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        page.on(
            "request", lambda request: self.hosts.add(urlsplit(request.url).netloc) if "//" in request.url else None
        )
        page.goto(address)

    def new_project(self, name: str) -> None:
        self.page.fill("#project-name", name)
        self.page.click("#new-project button")
        until(lambda: self.page.evaluate("document.querySelector('#project').selectedOptions[0]?.text") == name)

    def open_file(self, *path: str) -> None:
        """Walk to a file of the offered folder; end with "This folder" to open the pictures of one."""
        for name in path:
            self.page.click(f"#files button:has-text({name!r})")
        self.page.wait_for_selector("#open-dialog", state="hidden")
        self.shown()

    def shown(self) -> int:
        """The frame that is shown, when its picture is there in full."""
        self.page.wait_for_selector("#frame:not([data-shown=''])[data-shown]")
        return int(self.page.get_attribute("#frame", "data-shown") or -1)

    def go_to(self, frame: int) -> None:
        self.page.fill("#number", str(frame))
        self.page.press("#number", "Tab")
        self.page.wait_for_selector(f"#frame[data-shown='{frame}']")

    def at(self, x: float, y: float, size: tuple[int, int], aspect: float = 1.0) -> tuple[float, float]:
        """Where a pixel of the frame is on the screen while the whole frame is shown; size is (rows, columns)."""
        box = self.page.locator("#frame").bounding_box()
        assert box is not None
        rows, columns = size
        scale = min(box["width"] / columns, box["height"] / (rows * aspect))
        left = box["x"] + (box["width"] - columns * scale) / 2
        top = box["y"] + (box["height"] - rows * aspect * scale) / 2
        return left + x * scale, top + y * scale * aspect

    def drag(self, *places: tuple[float, float], steps: int = 6) -> None:
        """Draw along places of the screen."""
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=steps)
        self.page.mouse.up()

    def edited(self, count: int) -> None:
        """Wait until so many edits count, and are shown."""
        until(lambda: len(self.history()) == count)
        self.page.wait_for_timeout(300)

    def history(self) -> list[dict[str, Any]]:
        """The edits that count."""
        found = requests.get(f"{self.address}/api/sources/{self.source}/history", timeout=60).json()
        return list(found["edits"])

    def track(self, key: str = "t") -> None:
        """Track, and wait until that is done."""
        self.page.keyboard.press(key)
        self.page.wait_for_selector("#job", state="visible")
        self.page.wait_for_selector("#job", state="hidden")
        self.page.wait_for_timeout(300)

    def export(self, format: str) -> bytes:
        """Download the masks."""
        self.page.click("#export")
        with self.page.expect_download() as download:
            self.page.click(f"#formats button[data-format={format!r}]")
        self.page.keyboard.press("Escape")
        return Path(download.value.path()).read_bytes()

    def prompts(self) -> list[dict[str, Any]]:
        """All prompts that count, in the order in which they were given."""
        return [prompt for edit in self.history() for prompt in edit["prompts"]]

    def masks(self, folder: Path) -> list[FrameMasks]:
        """The masks as they are downloaded, by frame."""
        path = folder / f"page-{len(list(folder.iterdir()))}.json"
        path.write_bytes(self.export("rle"))
        return list(read_rle(path))

    def keep(self, name: str) -> None:
        """Save what is seen as a picture for the documentation, where TROCAR_SCREENSHOTS names a folder."""
        if folder := os.environ.get("TROCAR_SCREENSHOTS"):
            self.page.mouse.move(5, 5)
            self.page.wait_for_timeout(500)
            self.page.screenshot(path=Path(folder) / f"{name}.jpg", type="jpeg", quality=80)

    @property
    def source(self) -> int:
        """The number of the source that is open."""
        return int(self.page.url.partition("source=")[2].partition("&")[0])

    def pixels(self, selector: str) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        """What is seen of an element, (rows, columns, 3), and where its corner is on the screen."""
        box = self.page.locator(selector).bounding_box()
        assert box is not None
        picture = Image.open(io.BytesIO(self.page.locator(selector).screenshot()))
        return np.asarray(picture.convert("RGB")), (box["x"], box["y"])


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something; what is served forbids the page to evaluate text, so that the page itself cannot look."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"still not so after {seconds:g} s"
        time.sleep(0.05)


def unzipped(data: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
    return folder
