"""What an annotator may rely on: answers, corrections, undo, cancel, and a server that was killed goes on."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from running_server import COLUMNS, FRAMES, ROWS, Served, save_clip, serving
from trocar.client import ServerError, Source
from trocar.formats import open_source
from trocar.load import load
from trocar.prompts import Box, MaskPrompt, Point, Scribble
from trocar.serve.service import Service
from trocar.serve.settings import ServeSettings
from trocar.track.session import Session
from trocar.wire import MaskMessage, PromptMessage, from_json, make_patch, to_json

BOX = Box(2, 8, 26, 34)


@pytest.fixture
def session(settings: ServeSettings) -> Session:
    """The same, without a server between."""
    return Session(load(settings.model, "cpu"), open_source(settings.roots["videos"] / "clip.mp4"))


def by_frame(masks: object, object_id: int = 1) -> dict[int, NDArray[np.bool_]]:
    return {one.frame: one.masks[object_id] for one in masks if object_id in one.masks}  # type: ignore[attr-defined]


def same(one: dict[int, NDArray[np.bool_]], other: dict[int, NDArray[np.bool_]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[frame], other[frame]) for frame in one)


def test_every_prompt_gives_the_masks_of_a_session(served: Served, session: Session) -> None:
    source = served.clip("prompts")
    drawn = np.zeros((ROWS, COLUMNS), np.bool_)
    drawn[10:30, 5:25] = True
    for number, prompt in enumerate((BOX, Point(12, 20), Scribble(((5, 12), (9, 20), (14, 28))), MaskPrompt(drawn)), 1):
        answer = source.add(prompt, frame=number, object_id=number)
        expected = session.add(prompt, frame=number, object_id=number)
        assert np.array_equal(answer.masks[number], expected.masks[number])
        assert answer.scores[number] == pytest.approx(expected.scores[number], abs=1e-5)
    assert answer.masks[4].any()
    everywhere = list(source.propagate("both"))
    direct = list(session.propagate("both"))
    for object_id in (1, 2, 3, 4):
        assert same(by_frame(everywhere, object_id), by_frame(direct, object_id))


def test_a_correction_between_two_frames_changes_nothing_outside(served: Served, session: Session) -> None:
    source = served.clip("between")
    source.add(BOX)
    session.add(BOX)
    before = by_frame(source.propagate())
    assert same(before, by_frame(session.propagate()))
    source.add(Point(50, 40, False), frame=10)
    session.add(Point(50, 40, False), frame=10)
    assert source.propagate(start=10, stop=15).wait().done == 6
    again = by_frame(source.masks())
    expected = before | by_frame(session.propagate(start=10, stop=15))
    assert same(again, expected)
    assert any(not np.array_equal(again[frame], before[frame]) for frame in range(10, 16))


def test_undo_and_redo_bring_the_same_masks_back(served: Served) -> None:
    source = served.clip("undo")
    first = source.add(BOX).masks[1]
    second = source.add(Point(40, 40)).masks[1]
    assert not np.array_equal(first, second)
    assert np.array_equal(source.undo().masks[1], first)
    assert np.array_equal(source.redo().masks[1], second)
    source.undo()
    source.undo()
    assert source.masks() == []
    source.redo()
    source.add(Point(40, 40, False))
    with pytest.raises(ServerError, match="nothing to redo"):
        source.redo()


def test_undo_of_a_prompt_leaves_no_trace_in_what_is_tracked(served: Served) -> None:
    """Also where tracking had learned of it from the start."""
    source, other = served.clip("trace"), served.clip("no trace")
    source.add(BOX)
    other.add(BOX)
    source.add(Point(50, 40), frame=12)
    source.propagate().wait()
    source.undo()
    assert same(by_frame(source.propagate()), by_frame(other.propagate()))


def test_removal_is_undone(served: Served) -> None:
    source = served.clip("removal")
    source.add(BOX)
    shown = by_frame(source.propagate())
    source.remove(1)
    assert source.masks() == []
    assert source.objects.all() == []
    with pytest.raises(ServerError, match="undo its removal"):
        source.objects.change(1, "x")
    source.undo()
    assert same(by_frame(source.masks()), shown)
    assert [one.id for one in source.objects.all()] == [1]


def test_names_and_colours(served: Served) -> None:
    source = served.clip("names")
    made = source.objects.add("grasper", "#FF8800")
    assert (made.name, made.colour) == ("grasper", "#ff8800")
    assert source.objects.change(made.id, name="needle driver").name == "needle driver"
    assert source.objects.all()[0].colour == "#ff8800"
    with pytest.raises(ServerError, match="#rrggbb"):
        source.objects.change(made.id, colour="orange")


def test_only_the_changed_box_travels(served: Served) -> None:
    source = served.clip("patches")
    source.objects.add()
    drawn = np.zeros((ROWS, COLUMNS), np.bool_)
    drawn[10:30, 5:25] = True
    path = f"/api/sources/{source.told.id}/prompts"
    client = served.client()
    first = client.ask("POST", path, {"object": 1, "frame": 0, "prompts": [_mask_message(drawn)]})["masks"][0]
    drawn[28:33, 20:30] = True
    asked = {"object": 1, "frame": 0, "prompts": [_mask_message(drawn)], "known": first["version"]}
    second = from_json(MaskMessage, client.ask("POST", path, asked)["masks"][0])
    assert second.patch.base == first["version"]
    assert second.patch.box == [20, 28, 10, 5]


def _mask_message(mask: NDArray[np.bool_]) -> dict[str, object]:
    return to_json(PromptMessage(mask=make_patch(mask)))


def test_a_brush_stroke_on_a_mask_that_changed_is_refused(served: Served) -> None:
    source = served.clip("stale")
    source.add(BOX)
    stale = {"mask": {"size": [ROWS, COLUMNS], "box": [0, 0, 1, 1], "counts": "01", "base": "0123456789abcdef"}}
    with pytest.raises(ServerError, match="painted on has changed") as refused:
        source.add(stale)
    assert refused.value.kind == "conflict"


def test_cancel_takes_effect_within_a_frame(served: Served) -> None:
    source = served.clip("cancel")
    source.add(BOX)
    running = source.propagate()
    next(running)
    seen = running.cancel().done
    ended = running.wait()
    assert ended.state == "cancelled"
    assert ended.done <= seen + 1 < FRAMES
    assert len(source.masks()) == ended.done


def test_a_cancelled_propagation_goes_on_and_ends_as_if_it_had_not_been(served: Served) -> None:
    source, other = served.clip("resumed"), served.clip("not resumed")
    source.add(BOX)
    other.add(BOX)
    running = source.propagate()
    for _ in range(5):
        next(running)
    running.cancel()
    job = running.wait().id
    served.client().ask("POST", f"/api/jobs/{job}/resume")
    while source.records.jobs()[0].state in ("waiting", "running"):
        time.sleep(0.02)
    assert same(by_frame(source.masks()), by_frame(other.propagate()))


def test_edits_during_a_propagation_are_refused_and_looking_is_not(served: Served) -> None:
    source = served.clip("busy")
    source.add(BOX)
    running = source.propagate()
    next(running)
    with pytest.raises(ServerError, match="cancel that first") as refused:
        source.add(Point(3, 3))
    assert refused.value.kind == "busy"
    assert source.frame(3).shape == (ROWS, COLUMNS, 3)
    running.cancel()
    running.wait()
    source.add(Point(3, 3))


def test_two_users_on_one_source_are_told_of_one_another(served: Served) -> None:
    anna, ben = served.clip("shared", "anna-window"), served.clip("shared", "ben-window")
    anna.records.take_lease("Anna")
    anna.add(BOX)
    with pytest.raises(ServerError, match="Anna edits this source") as refused:
        ben.add(Point(3, 3))
    assert refused.value.kind == "leased"
    assert len(ben.masks()) == 1
    anna.records.release_lease()
    ben.add(Point(3, 3))


@pytest.mark.slow
def test_twenty_users_click_at_once(served: Served) -> None:
    sources = [served.clip(f"user {number}", f"user-number-{number}") for number in range(20)]
    gate = threading.Barrier(20)

    def click(number: int) -> NDArray[np.bool_]:
        gate.wait()
        return sources[number].add(Point(4 + number, 20)).masks[1]

    with ThreadPoolExecutor(20) as users:
        found = list(users.map(click, range(20)))
    assert all(np.array_equal(mask, sources[number].masks()[0].masks[1]) for number, mask in enumerate(found))


def test_confidence_and_history_mark_what_was_prompted(served: Served) -> None:
    source = served.clip("marks")
    source.add(BOX)
    source.add(Point(30, 30), frame=5)
    source.propagate().wait()
    (scores,) = source.records.confidence()
    assert scores.frames == list(range(FRAMES))
    assert scores.prompted == [0, 5]
    assert [(one.frame, list(one.prompts[0])) for one in source.records.history().edits] == [
        (0, ["object", "frame", "box"]),
        (5, ["object", "frame", "point", "positive"]),
    ]


@pytest.mark.parametrize("format", ["rle", "png", "coco", "overlay", "cvat"])
def test_an_export_holds_what_is_shown(served: Served, tmp_path: Path, format: str) -> None:
    source = served.clip("export")
    if not source.masks():
        source.add(BOX)
        source.objects.change(1, "grasper")
        source.propagate().wait()
    path = source.export(format, tmp_path)
    assert path.stat().st_size > 0
    if format == "rle":
        document = json.loads(path.read_text())
        assert document["objects"] == {"1": {"name": "grasper"}}
        assert len(document["frames"]) == FRAMES


@pytest.mark.slow
def test_a_restarted_server_goes_on_as_if_it_had_not_ended(settings: ServeSettings, tmp_path: Path) -> None:
    """Every step with a server of its own gives what one server gives for all of them."""

    def steps(source: Source, step: int) -> dict[int, NDArray[np.bool_]]:
        match step:
            case 0:
                source.add(BOX)
                source.add(Point(30, 20), frame=0)
                source.propagate().wait()
            case 1:
                source.add(Point(50, 40), frame=12)
                source.add(BOX, frame=3, object_id=2)
            case 2:
                source.undo()
                source.propagate(start=12).wait()
            case 3:
                source.redo()
                source.propagate(start=3).wait()
        return {one.frame * 10 + name: mask for one in source.masks() for name, mask in one.masks.items()}

    often = replace(settings, folder=tmp_path / "often")
    with serving(replace(settings, folder=tmp_path / "once")) as served:
        source = served.clip()
        expected = [steps(source, step) for step in range(4)]
    for step in range(4):
        with serving(often) as served:
            assert same(steps(served.clip(), step), expected[step]), f"step {step}"


def test_two_servers_do_not_share_a_folder(served: Served, settings: ServeSettings) -> None:
    with pytest.raises(ValueError, match="in use by another"):
        Service(settings)


def test_a_file_that_changed_is_not_taken_for_the_old_one(settings: ServeSettings, tmp_path: Path) -> None:
    save_clip(tmp_path / "videos" / "clip.mp4")
    changed = replace(settings, folder=tmp_path / "project", roots={"videos": tmp_path / "videos"})
    with serving(changed) as served:
        served.clip().add(BOX)
    save_clip(tmp_path / "videos" / "clip.mp4", FRAMES - 4)
    with serving(changed) as served, pytest.raises(ServerError, match="not the file that it was"):
        served.clip().add(Point(3, 3))


torch.set_num_threads(1)
