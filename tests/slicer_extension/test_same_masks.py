"""The same prompts through the client, the 3D Slicer module's logic, the Gradio page and the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from TrocarLib.background import Stop
from TrocarLib.remote import Prompts, Server, open_volume, prompt, propagate
from TrocarLib.volume_file import Voxels

from running_server import Served, free_port, save_tiny_network, serving
from trocar.cli import main
from trocar.formats import read_masks
from trocar.prompts import Box, Point
from trocar.serve.settings import ServeSettings

SHAPE = (40, 36, 10)  # (i, j, k)
AFFINE = np.array([[-0.7, 0.1, 0, 20], [-0.1, -0.69, 0.12, 30], [0, -0.15, 2.5, 5], [0, 0, 0, 1]])

Masks = dict[int, np.ndarray]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    model = str(save_tiny_network(folder / "tiny.safetensors"))
    with serving(ServeSettings(folder / "project", model=model, device="cpu")) as running:
        yield running


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ball in an oblique volume."""
    path = tmp_path_factory.mktemp("volume") / "ball.nii.gz"
    at = np.stack(np.meshgrid(*(np.arange(length) for length in SHAPE), indexing="ij"), -1)
    ball = (((at - (20, 16, 5)) * (1, 1, 2)) ** 2).sum(-1) < 81
    nib.save(nib.Nifti1Image((ball * 200 + 20).astype(np.int16), AFFINE), path)
    return path


def by_object(frames: Any) -> Masks:
    """(slice, row, column) masks of objects 1 and 2."""
    made: Masks = {}
    for one in frames:
        for name, mask in one.masks.items():
            made.setdefault(name, np.zeros((SHAPE[2], *mask.shape), np.bool_))[one.frame] = mask
    return made


@pytest.fixture(scope="module")
def expected(served: Served, volume: Path, tmp_path_factory: pytest.TempPathFactory) -> Masks:
    """What the command line makes."""
    folder = tmp_path_factory.mktemp("expected")
    said = ["--box", "8,6,30,28@4", "--object", "2", "--point", "20.5,16.5@6", "--point", "4.5,4.5,-@6"]
    model = ["--model", served.service.settings.model, "--device", "cpu"]
    assert main(["segment", str(volume), *said, *model, "--out", str(folder / "out"), "--format", "rle"]) == 0
    return by_object(read_masks(folder / "out"))


def by_client(served: Served, volume: Path, folder: Path) -> Masks:
    source = served.client().project("client").upload(volume)
    source.add(Box(8, 6, 30, 28), frame=4)
    source.add(Point(20.5, 16.5), frame=6, object_id=2)
    source.add(Point(4.5, 4.5, False), frame=6, object_id=2)
    source.propagate("both").wait()
    return by_object(source.masks())


def by_slicer(served: Served, volume: Path, folder: Path) -> Masks:
    """Voxels go and come as Slicer has them: (k, j, i), with their own way to the patient."""
    image = nib.load(volume)
    values = np.ascontiguousarray(np.asarray(image.dataobj).transpose(2, 1, 0))
    opened = open_volume(
        Server(served.address, client="slicer-1"), Voxels("ball", values, image.affine), "axial", "auto", print
    )
    segments = {name: np.zeros(values.shape, np.uint8) for name in (1, 2)}

    def tell(kind: str, told: Any) -> None:
        if kind == "masks":
            for name, mask in told.masks.items():
                opened.grid.view(segments[name])[told.frame] = mask

    prompt(opened, Prompts(None, "one", "#ff0000", [(4, {"box": [8, 6, 30, 28]})]), tell)
    points = [(6, {"point": [20.5, 16.5], "positive": True}), (6, {"point": [4.5, 4.5], "positive": False})]
    prompt(opened, Prompts(None, "two", "#00ff00", points), tell)
    assert propagate(opened, "both", (0, SHAPE[2] - 1), tell, Stop())
    return {name: opened.grid.view(made) > 0 for name, made in segments.items()}


def by_gradio(served: Served, volume: Path, folder: Path) -> Masks:
    pytest.importorskip("gradio", reason="the Gradio page needs trocar[gradio]")
    from gradio_browser import Browser
    from trocar.serve.gradio_app import BESIDE, BOX, GradioSettings, launch

    model = served.service.settings.model
    page = launch(GradioSettings(folder, model, device="cpu"), free_port())
    try:
        browser = Browser(str(page.local_url))
        browser.open(volume, model=model)
        browser.click(4, (8, 6), BOX)
        browser.click(4, (29, 27), BOX)
        browser.click(6, (20, 16), object_id=2)
        browser.click(6, (4, 4), BESIDE, object_id=2)
        browser.track()
        return by_object(read_masks(browser.download(folder)))
    finally:
        page.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")
@pytest.mark.parametrize("way", [by_client, by_slicer, by_gradio])
def test_every_way_makes_the_masks_of_the_command_line(
    served: Served, volume: Path, expected: Masks, tmp_path: Path, way: Any
) -> None:
    made = way(served, volume, tmp_path)
    for name in (1, 2):
        assert expected[name].any()
        assert np.array_equal(made[name], expected[name])
