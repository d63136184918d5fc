"""The 3D Slicer module's logic on a real MRML scene, against a live server in another process without a scene.

Run by `make test-slicer`: 3D Slicer's libraries are in an environment of their own, where torch is not.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs slicer-core: run `make test-slicer`")

import slicer
from slicer_scene import COLUMNS, ROWS, SLICES, add_points, add_volume, ball, geometry, new_scene, turned
from TrocarLib import scene as mrml
from TrocarLib.annotation import Annotation, opening
from TrocarLib.background import Background, Work
from TrocarLib.remote import Server
from TrocarLib.volume_file import write_nrrd

from trocar.client import ServerError

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("TROCAR_PYTHON", sys.executable)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
KINDS = ["plain", "as DICOM", "oblique", "sagittal, oblique"]


def run(*arguments: str) -> None:
    done = subprocess.run([PYTHON, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    run("-c", f"from pathlib import Path; import running_server as r; r.save_tiny_network(Path({str(path)!r}))")
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    folder = tmp_path_factory.mktemp("served")
    command = [PYTHON, "-m", "trocar", "serve", "--project", str(folder), "--port", port, "--model", str(model)]
    process = subprocess.Popen([*command, "--device", "cpu"], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said.startswith("http"), said
    address = said.split()[0].rstrip("/")
    import requests

    while True:
        try:
            requests.get(f"{address}/health", timeout=60)
            break
        except requests.ConnectionError:
            assert process.poll() is None
            time.sleep(0.05)
    yield address
    process.terminate()
    process.wait()


@pytest.fixture
def scene() -> Any:
    return new_scene()


def done(work: Work, annotation: Annotation | None = None) -> Any:
    """Have work done as the window has it done: in a thread, polled, and what it tells brought into the scene."""
    background, result = Background(), None
    background.start(work)
    while background.busy:
        for kind, value in background.poll():
            if kind == "failed":
                raise value
            if kind == "done":
                result = value
            elif annotation is not None:
                annotation.take(kind, value)
        time.sleep(0.005)
    if annotation is not None:
        annotation.flush()
    return result


def opened(scene: Any, server: Server, volume: Any, plane: str = "axial") -> Annotation:
    at, objects, masks = done(opening(server, volume, plane))
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "found")
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    annotation = Annotation(volume, segmentation, at)
    annotation.adopt(objects, masks)
    return annotation


def server(address: str, name: str = "window-1") -> Server:
    return Server(address, client=name)


def segment(annotation: Annotation, name: str = "liver", colour: str = "#dd8265") -> str:
    return mrml.add_segment(annotation.segmentation, name, colour)


def values(annotation: Annotation, name: str) -> np.ndarray:
    return mrml.segment_voxels(annotation.segmentation, name, annotation.volume)


def world(affine: np.ndarray, i: float, j: float, k: float) -> tuple[float, ...]:
    return tuple((affine @ (i, j, k, 1))[:3])


def by_command_line(folder: Path, model: Path, voxels: Any, plane: str, *said: str) -> tuple[np.ndarray, np.ndarray]:
    """(object, slice, row, column) masks that the command line makes of the same volume, and their 4x4 to RAS mm."""
    path = folder / "volume.nrrd"
    write_nrrd(path, voxels)
    out = folder / "out"
    run("-m", "trocar", "segment", str(path), *said, "--plane", plane, "--model", str(model), "--out", str(out),
        "--format", "rle", "--device", "cpu")  # fmt: skip
    code = (
        "import numpy as np\nfrom trocar.formats import open_source, read_masks\n"
        f"source = open_source({str(path)!r}, plane={plane!r})\n"
        "made = np.zeros((3, len(source), *source.geometry.size), bool)\n"
        f"for one in read_masks({str(out)!r}):\n"
        "    for name, mask in one.masks.items():\n        made[name, one.frame] = mask\n"
        f"np.savez({str(folder / 'made.npz')!r}, made=made, affine=source.geometry.affine)"
    )
    run("-c", code)
    with np.load(folder / "made.npz") as made:
        return made["made"], made["affine"]


def places(mask: np.ndarray, to_mm: np.ndarray) -> set[tuple[float, ...]]:
    """Where the voxels of a mask lie, in mm to a hundredth."""
    at = np.argwhere(mask)
    return {tuple(point) for point in np.round((to_mm @ np.column_stack([at, np.ones(len(at))]).T)[:3].T, 2) + 0.0}


@pytest.mark.parametrize("plane", ["axial", "sagittal"])
@pytest.mark.parametrize("kind", KINDS)
def test_segments_lie_where_the_command_line_says(
    scene: Any, address: str, model: Path, tmp_path: Path, kind: str, plane: str
) -> None:
    """The same prompts, in mm here and in pixels there; the masks compared in mm, by each side's own geometry."""
    affine = geometry(kind)
    volume = add_volume(scene, ball(), affine)
    annotation = opened(
        scene, server(address, f"window-{kind}-{plane}".replace(", ", "-").replace(" ", "-")), volume, plane
    )
    one, other = segment(annotation), segment(annotation, "tumour", "#ff0000")
    inside, outside = world(affine, 20, 16, 6), world(affine, 3, 3, 6)
    done(annotation.prompting(one, on=add_points(scene, inside)), annotation)
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(world(affine, 20, 16, 6))
    roi.SetSize([12.0, 14.0, 9.0])
    done(annotation.prompting(other, roi=roi, beside=add_points(scene, outside)), annotation)
    assert done(annotation.tracking("both", 0, annotation.slices - 1), annotation)
    grid = annotation.opened.grid
    said = []
    frame, x, y = grid.place(inside)
    said += ["--point", f"{x},{y}@{frame}", "--object", "2"]
    frame, box = grid.box(mrml.roi_corners(roi))
    said += ["--box", f"{','.join(map(str, box))}@{frame}"]
    frame, x, y = grid.place(outside)
    said += ["--point", f"{x},{y},-@{frame}"]
    made, to_mm = by_command_line(tmp_path, model, mrml.voxels_of(volume), plane, *said)
    to_ras = affine[:, [2, 1, 0, 3]]  # arrays are (k, j, i)
    for number, name in ((1, one), (2, other)):
        assert made[number].any()
        assert places(values(annotation, name), to_ras) == places(made[number], to_mm)


def test_points_are_sent_where_they_are(scene: Any, address: str) -> None:
    """By hand: the voxel (i, j, k) = (20, 16, 6) of an axial volume as DICOM has it, from the foot up, is pixel
    (20, 16) of slice 6; a mask that is prompted on slice 6 fills slice 6 of the segment and no other."""
    affine = geometry("as DICOM")
    volume = add_volume(scene, ball(), affine)
    annotation = opened(scene, server(address, "window-points"), volume)
    assert annotation.opened.grid.place(world(affine, 20, 16, 6)) == pytest.approx((6, 20.5, 16.5))
    name = segment(annotation)
    painted = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    painted[6, 10:20, 12:30] = 1
    mrml.set_segment_voxels(annotation.segmentation, name, volume, painted)
    done(annotation.prompting_mask(name, 6), annotation)
    assert np.array_equal(values(annotation, name), painted)
    with pytest.raises(ValueError, match="empty on slice 5"):
        annotation.prompting_mask(name, 5)


def test_a_volume_under_a_transform_is_prompted_where_it_is_shown(scene: Any, address: str) -> None:
    affine = geometry("oblique")
    volume = add_volume(scene, ball(), affine)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    to_world = turned(30, (0, 2))
    to_world[:3, 3] = (5, -7, 11)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(to_world))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    annotation = opened(scene, server(address, "window-transform"), volume)
    name = segment(annotation)
    shown = to_world @ affine @ (20, 16, 6, 1)
    assert annotation.slice_at(shown[:3]) == 6
    done(annotation.prompting(name, on=add_points(scene, tuple(shown[:3]))), annotation)
    found = values(annotation, name)
    assert found.any()
    assert set(np.argwhere(found)[:, 0]) == {6}
    with pytest.raises(ValueError, match="outside the volume"):
        annotation.prompting(name, on=add_points(scene, world(affine, 500, 16, 6)))
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "elsewhere")
    with pytest.raises(ValueError, match="different transforms"):
        Annotation(volume, segmentation, annotation.opened)


def test_undo_and_redo_bring_masks_and_points_back(scene: Any, address: str) -> None:
    affine = geometry("oblique")
    annotation = opened(scene, server(address, "window-undo"), add_volume(scene, ball(centre=(5, 15, 18)), affine))
    one, other = segment(annotation), segment(annotation, "tumour", "#ff0000")
    done(annotation.prompting(one, on=add_points(scene, world(affine, 18, 15, 5))), annotation)
    done(annotation.tracking("both", 0, annotation.slices - 1), annotation)
    before = values(annotation, one)
    beside = add_points(scene, world(affine, 30, 30, 8))
    done(annotation.prompting(one, beside=beside), annotation)
    after = values(annotation, one)
    assert not np.array_equal(before, after)
    with pytest.raises(ValueError, match="nothing new"):
        annotation.prompting(one, beside=beside)
    painted = before.copy() * 0
    painted[2, 3:9, 3:9] = 1
    mrml.set_segment_voxels(annotation.segmentation, other, annotation.volume, painted)
    done(annotation.flipping(undo=True), annotation)
    assert np.array_equal(values(annotation, one), before)
    assert np.array_equal(values(annotation, other), painted)
    assert beside.GetNthControlPointDescription(0) == mrml.TAKEN_BACK
    done(annotation.flipping(undo=False), annotation)
    assert np.array_equal(values(annotation, one), after)
    assert beside.GetNthControlPointDescription(0) == mrml.SENT
    for _ in range(2):
        done(annotation.flipping(undo=True), annotation)
    assert not values(annotation, one).any()
    with pytest.raises(ServerError, match="nothing to undo"):
        done(annotation.flipping(undo=True), annotation)


def test_tracking_keeps_to_its_slices(scene: Any, address: str) -> None:
    affine = geometry("plain")
    annotation = opened(scene, server(address, "window-span"), add_volume(scene, ball(centre=(6, 17, 21)), affine))
    name = segment(annotation)
    done(annotation.prompting(name, on=add_points(scene, world(affine, 21, 17, 6))), annotation)
    told: list[int] = []

    def counted(tell: Any, stop: Any) -> Any:
        def telling(kind: str, value: Any) -> None:
            told.append(value.frame) if kind == "masks" else None
            tell(kind, value)

        return annotation.tracking("both", 4, 9)(telling, stop)

    done(counted, annotation)
    assert set(told) == set(range(4, 10))
    assert set(np.argwhere(values(annotation, name))[:, 0]) <= set(range(4, 10))
    with pytest.raises(ValueError, match="no span of 0 to 11"):
        done(annotation.tracking("both", 9, 4), annotation)


def test_the_scene_takes_up_what_the_server_has(scene: Any, address: str) -> None:
    """The same volume in a new scene is not sent again, and its segments come back with names and colours."""
    values_before = ball(centre=(4, 14, 19))
    affine = geometry("oblique")
    annotation = opened(scene, server(address, "window-again"), add_volume(scene, values_before, affine))
    name = segment(annotation, "left kidney", "#20c0a0")
    done(annotation.prompting(name, on=add_points(scene, world(affine, 19, 14, 4))), annotation)
    done(annotation.tracking("both", 0, annotation.slices - 1), annotation)
    other = new_scene()
    again = opened(other, server(address, "window-again"), add_volume(other, values_before, affine))
    assert again.opened.source.told.id == annotation.opened.source.told.id
    (found,) = mrml.segment_ids(again.segmentation)
    assert mrml.name_and_colour(again.segmentation, found) == ("left kidney", "#20c0a0")
    assert np.array_equal(values(again, found), values(annotation, name))
    assert values(again, found).any()


def test_what_fails_is_said_and_nothing_hangs(scene: Any, address: str) -> None:
    volume = add_volume(scene, ball(centre=(6, 18, 22)), geometry("plain"))
    with pytest.raises(ServerError, match="does not answer"):
        done(opening(Server("http://127.0.0.1:9", timeout_s=2), volume))
    with pytest.raises(ValueError, match="choose one that is loaded"):
        opening(server(address), scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    annotation = opened(scene, server(address, "window-first"), volume)
    with pytest.raises(ServerError, match="3D Slicer edits this source"):
        done(opening(server(address, "window-second"), volume))
    with pytest.raises(ServerError, match="nothing to track"):
        done(annotation.tracking("forward", 0, SLICES - 1), annotation)


def test_cancel_ends_tracking_and_keeps_what_was_made(scene: Any, address: str) -> None:
    affine = geometry("plain")
    deep = np.repeat(ball(), 30, axis=0)
    annotation = opened(scene, server(address, "window-cancel"), add_volume(scene, deep, affine))
    name = segment(annotation)
    done(annotation.prompting(name, on=add_points(scene, world(affine, 20, 16, 180))), annotation)
    background = Background()
    background.start(annotation.tracking("both", 0, annotation.slices - 1))
    ended, result = False, None
    while not ended:
        for kind, value in background.poll():
            annotation.take(kind, value)
            if kind == "masks":
                background.cancel()
            if kind in ("done", "failed"):
                ended, result = True, value
        time.sleep(0.005)
    annotation.flush()
    assert result is False
    made = {int(at) for at in np.argwhere(values(annotation, name))[:, 0]}
    assert 0 < len(made) < annotation.slices / 2


def test_a_place_beside_the_volume_still_names_its_slice(scene: Any, address: str) -> None:
    """A view that was moved sideways shows a slice all the same."""
    affine = geometry("oblique")
    annotation = opened(scene, server(address, "window-view"), add_volume(scene, ball(centre=(3, 12, 15)), affine))
    assert annotation.slice_at(world(affine, 90, -30, 7)) == 7
    with pytest.raises(ValueError, match="beyond the slices"):
        annotation.slice_at(world(affine, 20, 16, 30))
