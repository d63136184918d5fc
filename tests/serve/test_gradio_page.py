"""The Gradio page over its own protocol, as a browser speaks it: a click there is a prompt of the command line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from running_server import FRAMES, free_port, save_clip, save_tiny_network
from trocar.cli import main
from trocar.formats import read_masks
from trocar.load import load
from trocar.prompts import Box, Point
from trocar.serve.visit import Visit, Wanted

pytest.importorskip("gradio", reason="the Gradio page needs trocar[gradio]")

from gradio_browser import Browser
from trocar.serve.gradio_app import BESIDE, BOX, GradioSettings, launch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")  # what it asks of pandas


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_network(tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("visits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        page = launch(GradioSettings(folder, model, device="cpu"), free_port())
        yield str(page.local_url)
        page.close()


@pytest.fixture
def browser(address: str) -> Browser:
    return Browser(address)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def masks_of(path: Path) -> dict[tuple[int, int], np.ndarray]:
    return {(one.frame, name): mask for one in read_masks(path) for name, mask in one.masks.items()}


def assert_same(one: dict[tuple[int, int], np.ndarray], other: dict[tuple[int, int], np.ndarray]) -> None:
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert any(mask.any() for mask in one.values())


def test_clicks_and_boxes_make_the_masks_of_the_command_line(
    browser: Browser, clip: Path, model: str, tmp_path: Path
) -> None:
    browser.open(clip, model=model)
    assert "opposite corner" in browser.click(3, (8, 6), BOX)
    browser.click(3, (29, 27), BOX)
    browser.click(5, (20, 16), object_id=2)
    browser.click(5, (4, 4), BESIDE, object_id=2)
    assert browser.track().startswith("Done")
    said = ["--box", "8,6,30,28@3", "--object", "2", "--point", "20.5,16.5@5", "--point", "4.5,4.5,-@5"]
    out = tmp_path / "out"
    assert main(["segment", str(clip), *said, "--model", model, "--out", str(out), "--format", "rle"]) == 0
    assert_same(masks_of(browser.download(tmp_path)), masks_of(out))
    assert browser.download(tmp_path, "overlay").read_bytes()[4:8] == b"ftyp"


def test_every_third_frame_keeps_its_own_number(browser: Browser, clip: Path, model: str, tmp_path: Path) -> None:
    browser.open(clip, model=model, step=3)
    browser.click(6, (20, 16))
    browser.track()
    assert {frame for frame, _ in masks_of(browser.download(tmp_path))} == set(range(0, FRAMES, 3))
    with pytest.raises(ValueError, match="every 3th frame is tracked: prompt frame 6"):
        browser.click(7, (20, 16))


def test_undo_brings_the_mask_before_back(browser: Browser, clip: Path, model: str, tmp_path: Path) -> None:
    browser.open(clip, model=model)
    browser.click(2, (20, 16))
    browser.track()
    before = masks_of(browser.download(tmp_path))
    browser.click(9, (40, 40), BESIDE)
    changed = masks_of(browser.download(tmp_path))
    assert not np.array_equal(changed[9, 1], before[9, 1])
    browser.do("undo", None)
    assert_same(masks_of(browser.download(tmp_path)), before)


def test_cancel_stops_and_keeps_what_was_made(browser: Browser, model: str, tmp_path: Path) -> None:
    browser.open(save_clip(tmp_path / "long.mp4", frames=200), model=model)
    browser.click(0, (12, 16))
    running = browser.follow("track", None, "forward", 0)
    next(running)
    browser.at_once("cancel", None)
    told = str(list(running)[-1][1])
    assert "Cancelled" in told
    made = {frame for frame, _ in masks_of(browser.download(tmp_path))}
    assert 0 < len(made) < 200


def test_a_volume_keeps_its_geometry(browser: Browser, model: str, tmp_path: Path) -> None:
    affine = np.array([[0.7, 0.1, 0, -20], [-0.1, 0.69, 0.12, 30], [0, -0.15, 2.5, 5], [0, 0, 0, 1]])
    at = np.stack(np.meshgrid(np.arange(40), np.arange(36), np.arange(8), indexing="ij"), -1)
    ball = (((at - (20, 16, 4)) * (1, 1, 3)) ** 2).sum(-1) < 81
    path = tmp_path / "ball.nii.gz"
    nib.save(nib.Nifti1Image((ball * 200 + 20).astype(np.int16), affine), path)
    browser.open(path, model=model)
    browser.click(4, (8, 6), BOX)
    browser.click(4, (29, 27), BOX)
    browser.track()
    found = nib.load(browser.download(tmp_path, "nifti"))
    assert np.allclose(found.affine, nib.load(path).affine)
    assert found.shape == (40, 36, 8)
    assert np.asarray(found.dataobj).any()


def test_clicks_on_a_picture_that_is_shown_smaller_count_in_the_frame(model: str, tmp_path: Path) -> None:
    """By hand: 2000 x 501 pixels are shown as 1280 x 321, each 1.5625 of the frame's wide and high; 321 of them reach
    beyond the last row, and are cut there."""
    for name in ("1.png", "2.png"):
        Image.fromarray(np.full((501, 2000, 3), 90, np.uint8)).save(tmp_path / name)
    visit = Visit([tmp_path / "1.png", tmp_path / "2.png"], Wanted(load(model, "cpu")), tmp_path)
    assert visit.picture(0).shape == (321, 1280, 3)
    assert visit.point(0, 0, True) == Point(0.78125, 0.78125)
    assert visit.point(63, 31, False) == Point(99.21875, 49.21875, False)
    assert visit.box((1279, 0), (0, 320)) == Box(0, 0, 2000, 501)
    visit.add(visit.box((10, 10), (200, 200)), 1, 1)
    running = visit.track("both", 0)
    next(running)
    with pytest.raises(ValueError, match="tracking is under way"):
        visit.add(visit.point(3, 3, True), 0, 1)
    running.close()
    visit.undo()
    visit.close()
    assert not visit.folder.exists()


def test_what_cannot_be_done_is_said(browser: Browser, clip: Path, model: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing is open"):
        browser.click(0, (3, 3))
    with pytest.raises(ValueError, match="nothing was chosen"):
        browser.open(model=model)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"broken\.mp4"):
        browser.open(broken, model=model)
    browser.open(clip, model=model)
    with pytest.raises(ValueError, match="no masks to download"):
        browser.download(tmp_path)
    with pytest.raises(ValueError, match="add a prompt first"):
        browser.track()


def test_two_windows_do_not_see_one_another(address: str, clip: Path, model: str, tmp_path: Path) -> None:
    one, other = Browser(address), Browser(address)
    for browser in (one, other):
        browser.open(clip, model=model)
    one.click(2, (20, 16))
    with pytest.raises(ValueError, match="no masks to download"):
        other.download(tmp_path)


def test_nothing_but_this_machine_is_spoken_to(
    browser: Browser, clip: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's process connects to the loopback address alone, and its listener is there alone."""
    spoken: list[Any] = []
    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: (spoken.append(to), real(self, to))[1])
    browser.open(clip, model=model)
    browser.click(2, (20, 16))
    assert spoken
    assert {to[0] for to in spoken if isinstance(to, tuple)} <= {"127.0.0.1", "localhost", "::1"}


@pytest.mark.slow
def test_nano_on_the_demo_sequence(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """The network and the pictures that people have: real frames, uploaded one by one, two objects."""
    from trocar.bench.demo import FOLDER

    page = launch(GradioSettings(tmp_path_factory.mktemp("visits"), device="cpu"), free_port())
    try:
        browser = Browser(str(page.local_url))
        browser.open(*sorted((FOLDER / "frames").iterdir()), model="nano")
        for corners, number in ((((195, 93), (352, 356)), 1), (((187, 330), (372, 511)), 2)):
            for corner in corners:
                browser.click(0, corner, BOX, number)
        browser.click(4, (270, 200), object_id=1)
        browser.track()
        made = masks_of(browser.download(tmp_path))
    finally:
        page.close()
    said = ["--box", "195,93,353,357@0", "--point", "270.5,200.5@4", "--object", "2", "--box", "187,330,373,512@0"]
    out = ["--out", str(tmp_path / "out"), "--format", "rle", "--device", "cpu"]
    assert main(["segment", str(FOLDER / "frames"), *said, *out]) == 0
    assert_same(made, masks_of(tmp_path / "out"))


def test_a_wrong_name_is_said_before_the_page_opens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradio", "--memory", "recnet"]) == 2
    assert "did you mean 'recent'" in capsys.readouterr().err
    assert main(["gradio", "--model", "nanno", "--port", str(free_port())]) == 2
    assert "did you mean 'nano'" in capsys.readouterr().err
