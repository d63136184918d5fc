"""Objects that are looked for by the names of their classes, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from running_server import Served, save_clip, save_tiny_network, serving
from sure_classes import FRAMES, save_frames, save_sure_classes
from trocar.cli import main
from trocar.client import ServerError, Source
from trocar.formats import read_masks
from trocar.load import load
from trocar.prompts import Box, Point
from trocar.serve.classes import Classes
from trocar.serve.settings import ServeSettings
from trocar.wire import NewSource


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServeSettings:
    folder = tmp_path_factory.mktemp("served")
    save_frames(folder / "videos" / "frames")
    save_clip(folder / "videos" / "clip.mp4")
    model = save_tiny_network(folder / "tiny.safetensors")
    classes = str(save_sure_classes(folder / "classes.safetensors", model))
    roots = {"videos": folder / "videos"}
    return ServeSettings(folder / "project", roots, model=str(model), device="cpu", class_model=classes)


@pytest.fixture(scope="module")
def served(settings: ServeSettings) -> Iterator[Served]:
    with serving(settings) as running:
        yield running


def opened(served: Served, project: str, image_set: bool = False) -> Source:
    asked = NewSource(root="videos", path="frames", image_set=image_set)
    return served.client(f"client-{project}").project(project).open(asked)


def masks_of(frames: Any) -> dict[tuple[int, int], np.ndarray]:
    return {(one.frame, name): mask for one in frames for name, mask in one.masks.items()}


def by_command_line(settings: ServeSettings, out: Path, *said: str) -> dict[tuple[int, int], np.ndarray]:
    models = ["--model", settings.model, "--class-model", settings.class_model]
    command = ["segment", str(settings.roots["videos"] / "frames"), *models, *said, "--class", "hook"]
    assert main([*command, "--out", str(out), "--format", "rle"]) == 0
    return masks_of(read_masks(out))


def assert_same(one: dict[tuple[int, int], np.ndarray], other: dict[tuple[int, int], np.ndarray]) -> None:
    assert {key for key in one if one[key].any()} == {key for key in other if other[key].any()}
    assert all(np.array_equal(one[key], other[key]) for key in one.keys() & other.keys())


def test_what_is_found_is_what_the_command_line_finds(served: Served, settings: ServeSettings, tmp_path: Path) -> None:
    source = opened(served, "found")
    assert served.client().about()["classes"] == ["hook", "grasper"]
    running = source.find("Hook", "grasper")
    streamed = masks_of(running)
    assert running.told.state == "finished"
    expected = by_command_line(settings, tmp_path / "out", "--class", "grasper")
    assert len({frame for frame, _ in expected}) == FRAMES
    assert any(mask.any() for mask in expected.values())
    assert_same(masks_of(source.masks()), expected)
    assert_same(streamed, expected)
    found = source.objects.all()
    assert found[0].name == "hook"
    assert all(one.name.startswith("hook") and len(one.prompted) == 1 for one in found)


def test_classes_go_with_prompts(served: Served, settings: ServeSettings, tmp_path: Path) -> None:
    """An object that somebody prompted is tracked along, and an object that was removed lends its number to nobody."""
    source = opened(served, "mixed")
    source.add(Point(3, 3), frame=5, object_id=1)
    source.add(Box(44, 34, 62, 46), frame=0, object_id=2)
    source.remove(2)
    source.find("hook").wait()
    expected = by_command_line(settings, tmp_path / "out", "--point", "3,3@5")
    numbers = {old: old if old == 1 else old + 1 for _, old in expected}
    assert_same(masks_of(source.masks()), {(frame, numbers[name]): mask for (frame, name), mask in expected.items()})
    assert {1, 3} <= {one.id for one in source.objects.all()}


def test_what_was_found_can_be_undone_corrected_and_tracked_on(served: Served) -> None:
    source = opened(served, "edited")
    source.find("hook").wait()
    found = source.objects.all()
    before = masks_of(source.masks())
    source.undo()
    assert found[-1].id not in {name for _, name in masks_of(source.masks())}
    source.redo()
    assert_same(masks_of(source.masks()), before)
    answer = source.add(Point(60, 44, False), frame=FRAMES - 2, object_id=found[0].id)
    assert answer.frame == FRAMES - 2
    source.propagate(start=FRAMES - 2).wait()
    after = masks_of(source.masks())
    kept = [key for key in before if key[0] < FRAMES - 2]
    assert kept
    assert all(np.array_equal(before[key], after[key]) for key in kept)


def test_a_server_that_comes_back_has_what_was_found(settings: ServeSettings, tmp_path: Path) -> None:
    again = replace(settings, folder=tmp_path / "project")
    with serving(again) as running:
        source = opened(running, "kept")
        source.find("hook").wait()
        before = masks_of(source.masks())
    with serving(again) as running:
        source = opened(running, "kept")
        assert_same(masks_of(source.masks()), before)
        source.propagate("both").wait()
        assert masks_of(source.masks())


def test_what_cannot_be_looked_for_is_refused(served: Served, settings: ServeSettings, tmp_path: Path) -> None:
    source = opened(served, "refused")
    with pytest.raises(ServerError, match="there is no class 'graspr': did you mean 'grasper'") as refused:
        source.find("graspr")
    assert refused.value.kind == "invalid"
    with pytest.raises(ServerError, match="name one of hook, grasper"):
        source.find()
    with pytest.raises(ServerError, match="do not follow one another"):
        opened(served, "refused-set", image_set=True).find("hook")
    with pytest.raises(ServerError, match="edits this source"):
        Source(served.client("somebody-else"), source.told).find("hook") if source.add(Point(3, 3)) else None
    with serving(replace(settings, folder=tmp_path / "project", class_model="auto")) as running:
        assert running.client().about()["classes"] == []
        with pytest.raises(ServerError, match="no class model") as refused:
            opened(running, "none").find("hook")
        assert refused.value.kind == "not_available"


def test_looking_can_be_cancelled_and_keeps_others_out(served: Served, tmp_path: Path) -> None:
    path = save_clip(tmp_path / "long.mp4", frames=150)
    source = served.client("client-long").project("long").upload(path)
    running = source.find("hook")
    next(running)
    with pytest.raises(ServerError, match="being propagated"):
        source.objects.add()
    with pytest.raises(ServerError, match="being propagated"):
        source.add({"point": [3.0, 3.0]})
    running.cancel()
    assert running.wait().state == "cancelled"
    with pytest.raises(ServerError, match="begin a new one"):
        served.client("client-long").ask("POST", f"/api/jobs/{running.told.id}/resume")
    made = {frame for frame, _ in masks_of(source.masks())}
    assert 0 < len(made) < 150


def test_a_class_model_that_does_not_fit_is_said_at_the_start(settings: ServeSettings, tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"reads inputs of 256 px, and .* of 64"),
        serving(replace(settings, folder=tmp_path / "one", class_model="nano-classes")),
    ):
        pass
    with (
        pytest.raises(ValueError, match="did you mean 'nano-classes'"),
        serving(replace(settings, folder=tmp_path / "two", class_model="nano-class")),
    ):
        pass


def test_nano_comes_with_classes() -> None:
    """The table of class models names its network; the file is in the package and was trained on these weights."""
    assert "grasper" in Classes(load("nano", "cpu"), "nano").names
    assert Classes(load("nano", "cpu"), "nano", "").names == []
