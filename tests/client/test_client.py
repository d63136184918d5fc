"""The client beside the command line: the same masks, from videos, volumes and image sets, and no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from running_server import COLUMNS, FRAMES, ROWS, Served, save_clip
from trocar.cli import main
from trocar.client import Client
from trocar.formats import open_source, read_masks
from trocar.prompts import Box, Point
from trocar.wire import NewSource

SRC = Path(__file__).parents[2] / "src"
AFFINE = np.array([[0.7, 0.1, 0.0, -20.0], [-0.1, 0.69, 0.12, 30.0], [0.0, -0.15, 2.5, 5.0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ball in an oblique volume of 40 x 36 x 12 voxels."""
    path = tmp_path_factory.mktemp("volume") / "ball.nii.gz"
    at = np.stack(np.meshgrid(np.arange(40), np.arange(36), np.arange(12), indexing="ij"), -1)
    ball = (((at - (20, 16, 6)) * (1, 1, 3)) ** 2).sum(-1) < 81
    nib.save(nib.Nifti1Image((ball * 200 + 20).astype(np.int16), AFFINE), path)
    return path


def by_frame(masks: object, object_id: int = 1) -> dict[int, NDArray[np.bool_]]:
    return {one.frame: one.masks[object_id] for one in masks if object_id in one.masks}  # type: ignore[attr-defined]


def same(one: dict[int, NDArray[np.bool_]], other: dict[int, NDArray[np.bool_]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[frame], other[frame]) for frame in one)


def test_the_client_needs_numpy_and_requests_alone() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'scipy', 'pycocotools', 'cv2', 'PIL', 'fastapi']))\n"
        "import trocar.client, trocar.wire\n"
        "print(sorted(name for name in sys.modules if name.startswith('trocar')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SRC)}
    )
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[1] for name in eval(done.stdout) if "." in name}
    assert loaded == {"client", "wire"}


@pytest.mark.parametrize("kind", ["video", "volume"])
def test_client_and_command_line_make_the_same_masks(served: Served, volume: Path, tmp_path: Path, kind: str) -> None:
    path = save_clip(tmp_path / "clip.mp4") if kind == "video" else volume
    source = served.client().project(kind).upload(path)
    assert source.told.kind == kind
    source.add(Box(8, 6, 30, 28), frame=3)
    source.add(Point(20, 16), frame=5, object_id=2)
    source.add(Point(4, 4, False), frame=5, object_id=2)
    tracked = list(source.propagate("both"))
    said = ["--box", "8,6,30,28@3", "--object", "2", "--point", "20,16@5", "--point", "4,4,-@5"]
    out = tmp_path / "out"
    model = served.service.settings.model
    assert main(["segment", str(path), *said, "--model", model, "--out", str(out), "--format", "rle"]) == 0
    expected = list(read_masks(out))
    for object_id in (1, 2):
        assert by_frame(expected, object_id)
        assert same(by_frame(source.masks(), object_id), by_frame(expected, object_id))
    assert len({one.frame for one in tracked}) == source.told.frames
    exported = source.export("rle", tmp_path)
    assert same(by_frame(read_masks(exported)), by_frame(expected))


def test_an_image_set_of_several_sizes(served: Served, tmp_path: Path) -> None:
    pictures = tmp_path / "set"
    pictures.mkdir()
    for name, size in (("a", (40, 30)), ("b", (30, 44)), ("c", (40, 30))):
        picture = np.full((*size[::-1], 3), 80, np.uint8)
        picture[8:20, 8:20] = 220
        Image.fromarray(picture).save(pictures / f"{name}.png")
    source = served.client().project("set").upload(pictures, NewSource(image_set=True))
    assert (source.told.kind, source.told.names) == ("images", ["a", "b", "c"])
    assert source.told.sizes == [[30, 40], [44, 30], [30, 40]]
    assert source.add(Box(6, 6, 22, 22), frame=1).masks[1].shape == (44, 30)
    assert [one.masks[1].shape for one in source.propagate()] == [(30, 40), (44, 30), (30, 40)]


def test_frames_are_the_originals(served: Served, tmp_path: Path) -> None:
    path = save_clip(tmp_path / "clip.mp4")
    source = served.client().project("frames").upload(path)
    direct = open_source(path)
    for number in (FRAMES - 1, 0, 7):
        assert np.array_equal(source.frame(number), direct[number].image)
    assert source.frame(3, width=COLUMNS // 2).shape == (ROWS // 2, COLUMNS // 2, 3)


def test_a_volume_comes_back_voxel_by_voxel(served: Served, volume: Path, tmp_path: Path) -> None:
    source = served.client().project("voxels").upload(volume)
    client = served.client()
    path = f"/api/sources/{source.told.id}"
    (tmp_path / "back.nii.gz").write_bytes(client.raw("GET", f"{path}/volume.nii.gz").content)
    original, back = nib.load(volume), nib.load(tmp_path / "back.nii.gz")
    assert np.array_equal(original.dataobj, back.dataobj)
    assert np.array_equal(original.affine, back.affine)
    for plane, (slices, rows, columns) in source.told.shape.items():
        assert len(open_source(volume, plane=plane)) == slices
        raw = client.raw("GET", f"{path}/slices/{plane}/3?format=npy").content
        assert len(raw) > rows * columns * 3
    direct = open_source(volume, plane="sagittal")[3].image
    import io

    raw = client.raw("GET", f"{path}/slices/sagittal/3?format=npy").content
    assert np.array_equal(np.load(io.BytesIO(raw)), direct)
    source.add(Box(8, 6, 30, 28), frame=6)
    (tmp_path / "masks.nii.gz").write_bytes(client.raw("GET", f"{path}/masks.nii.gz").content)
    masks = nib.load(tmp_path / "masks.nii.gz")
    assert np.array_equal(masks.affine, original.affine)
    assert int(np.asarray(masks.dataobj).sum()) == int(source.masks()[0].masks[1].sum())


def test_points_in_mm_are_found_on_an_oblique_volume(served: Served, volume: Path) -> None:
    """The brightest place of each slice lies where its millimetres say."""
    source = served.client().project("mm").upload(volume)
    voxels = np.asarray(nib.load(volume).dataobj)
    for i, j, k in ((20, 16, 6), (0, 0, 0), (39, 35, 11)):
        (found,) = source.records.locate([(AFFINE @ (i, j, k, 1))[:3].tolist()])
        assert found.inside
        shown = source.frame(found.frame)[int(found.y), int(found.x), 0]
        assert (shown > 100) == (voxels[i, j, k] > 100)
    (outside,) = source.records.locate([[500.0, 0, 0]])
    assert not outside.inside


def test_upload_tells_how_far_it_is(served: Served, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = save_clip(tmp_path / "clip.mp4")
    served.client().project("progress").upload(path, progress=lambda sent, total: told.append((sent, total)))
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


def test_a_propagation_goes_on_without_its_viewer(served: Served) -> None:
    source = served.clip("viewer")
    source.add(Box(2, 8, 26, 34))
    job = next_and_leave(source.propagate())
    again = Client(served.address).source(source.told.id)
    while served.service.jobs.state(job).state in ("waiting", "running"):
        pass
    assert len(again.masks()) == FRAMES


def next_and_leave(running: object) -> int:
    next(running)  # type: ignore[call-overload]
    return int(running.told.id)  # type: ignore[attr-defined]
