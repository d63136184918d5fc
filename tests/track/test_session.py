"""What a user may rely on: corrections stick, undo is exact, objects leave one another alone, runs can be resumed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.datasets.scenes import scene
from trocar.frames import ArraySource, Frame
from trocar.masks import FrameMasks
from trocar.memory import NoMemory
from trocar.model import Network, tiny_random
from trocar.prompts import Box, MaskPrompt, Point, Scribble
from trocar.track.entries import StepSettings, suppress_overlap
from trocar.track.order import Direction
from trocar.track.session import Session, SessionOptions

FRAMES, ROWS, COLUMNS = 40, 60, 80
Maker = Callable[..., Session]


@pytest.fixture(scope="module")
def network() -> Network:
    """Random weights with all that nano has; the seed is one with which masks are not empty."""
    torch.manual_seed(3)
    return Network(replace(tiny_random(), dense_prompts=True, mask_prior=True))


@pytest.fixture(scope="module")
def source() -> ArraySource:
    images = np.random.default_rng(0).integers(0, 255, (FRAMES, ROWS, COLUMNS, 3), dtype=np.uint8)
    return ArraySource(images)


@pytest.fixture
def make(network: Network, source: ArraySource) -> Iterator[Maker]:
    sessions: list[Session] = []

    def made(folder: Path | None = None, **step: object) -> Session:
        options = SessionOptions(StepSettings(**step), snapshot_every=8, snapshot_folder=folder)  # type: ignore[arg-type]
        sessions.append(Session(network, source, options=options))
        return sessions[-1]

    yield made
    for session in sessions:
        session.close()


def by_frame(masks: Iterator[FrameMasks], object_id: int = 1) -> dict[int, NDArray[np.bool_]]:
    return {one.frame: one.masks[object_id] for one in masks if object_id in one.masks}


def test_a_correction_sticks_and_leaves_what_came_before(make: Maker) -> None:
    session = make()
    session.add(Box(10, 10, 40, 40))
    first = by_frame(session.propagate())
    answer = session.add(Point(60, 50), frame=20).masks[1]
    after = by_frame(session.propagate(start=20))
    assert np.array_equal(after[20], answer)
    anew = by_frame(session.propagate())
    assert np.array_equal(anew[20], answer)
    assert len(first) == len(anew) == FRAMES


def test_a_mask_prompt_is_the_answer_to_the_pixel(make: Maker) -> None:
    session = make()
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[7:20, 5:31] = True
    session.add(Box(10, 10, 40, 40))
    list(session.propagate())
    session.add(MaskPrompt(mask), frame=11)
    assert np.array_equal(by_frame(session.propagate())[11], mask)


def test_undo_restores_the_earlier_masks_exactly(make: Maker) -> None:
    session = make()
    session.add(Box(10, 10, 40, 40))
    first = by_frame(session.propagate())
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[30:50, 30:70] = True
    session.add(MaskPrompt(mask), frame=13)
    edited = by_frame(session.propagate(start=13))
    assert any(not np.array_equal(first[frame], edited[frame]) for frame in edited)
    frame = session.undo()
    assert frame == 13
    again = by_frame(session.propagate(start=frame))
    assert all(np.array_equal(first[at], again[at]) for at in range(13, FRAMES))


@pytest.mark.parametrize(
    ("asked", "prompted", "way", "begun"),
    [("forward", 29, "forward", 20), ("backward", 11, "backward", 20), ("both", 11, "backward", 11)],
)
def test_undo_of_a_prompt_that_a_pass_was_told_of_leaves_no_trace(
    make: Maker, asked: Any, prompted: int, way: Direction, begun: int
) -> None:
    told, never = make(), make()
    for session in (told, never):
        session.add(Box(10, 10, 40, 40), frame=20)
        session.add(Box(30, 20, 70, 50), frame=20, object_id=2)
    told.add(Point(60, 50), frame=prompted)
    for session in (told, never):
        list(session.propagate(asked))
    assert told.undo() == begun
    again, truth = (by_frame(session.propagate(way, start=prompted)) for session in (told, never))
    assert truth
    assert again.keys() == truth.keys()
    assert all(np.array_equal(again[frame], truth[frame]) for frame in truth)


def test_an_object_with_a_removed_ones_id_has_no_memory_of_it(make: Maker) -> None:
    reused, fresh = make(), make()
    for session in (reused, fresh):
        session.add(Box(30, 20, 70, 50), object_id=2)
    reused.add(Box(10, 10, 40, 40))
    for session in (reused, fresh):
        list(session.propagate())
    reused.remove(1)
    answers = [session.add(Point(50, 20), frame=20).masks[1] for session in (reused, fresh)]
    assert answers[0].any()
    assert np.array_equal(*answers)
    again, truth = (by_frame(session.propagate(start=25)) for session in (reused, fresh))
    assert all(np.array_equal(again[frame], truth[frame]) for frame in truth)


def test_undo_of_a_first_prompt_and_of_a_removal(make: Maker) -> None:
    session = make()
    session.add(Box(10, 10, 40, 40))
    session.add(Box(20, 10, 60, 40), object_id=2)
    session.remove(1)
    assert sorted(session.tracks) == [2]
    session.undo()
    assert sorted(session.tracks) == [1, 2]
    session.undo()
    assert sorted(session.tracks) == [1]
    session.undo()
    with pytest.raises(ValueError, match="nothing to undo"):
        session.undo()


def logits_of_first(session: Session) -> list[torch.Tensor]:
    seen = []
    for _ in session.propagate():
        track = session.tracks[1]
        seen.append(max(track.entries.values(), key=lambda entry: entry.time).logits.clone())
    return seen


def test_another_object_changes_no_logit(make: Maker) -> None:
    alone, together = make(), make()
    for session in (alone, together):
        session.add(Box(10, 10, 40, 40))
    together.add(Point(60, 20), Point(5, 5, positive=False), frame=0, object_id=2)
    together.add(Box(40, 20, 70, 50), frame=6, object_id=3)
    differences = [
        float((a - b).abs().max()) for a, b in zip(logits_of_first(alone), logits_of_first(together), strict=True)
    ]
    assert max(differences) < 1e-4


def test_objects_come_late_and_go(make: Maker) -> None:
    session = make()
    session.add(Box(10, 10, 40, 40))
    seen: dict[int, set[int]] = {}
    for masks in session.propagate():
        seen[masks.frame] = set(masks.masks)
        if masks.frame == 9:
            session.add(Box(30, 20, 70, 50), frame=12, object_id=2)
        if masks.frame == 25:
            session.remove(1)
    assert seen[11] == {1}
    assert seen[12] == seen[25] == {1, 2}
    assert seen[26] == {2}


def test_both_ways_covers_every_frame_of_every_object_once(make: Maker) -> None:
    session = make()
    session.add(Box(10, 10, 40, 40), frame=15)
    session.add(Box(30, 20, 70, 50), frame=22, object_id=2)
    made = session.propagate("both")
    masks = list(made)
    frames = {name: sorted(one.frame for one in masks if name in one.masks) for name in (1, 2)}
    assert frames == {1: list(range(FRAMES)), 2: list(range(FRAMES))}
    assert len(made) == len(masks)


def test_a_resumed_run_equals_an_uninterrupted_one(make: Maker, tmp_path: Path) -> None:
    whole, cut, resumed = make(), make(tmp_path), make(tmp_path)
    for session in (whole, cut, resumed):
        session.add(Box(10, 10, 40, 40), frame=5)
        session.add(Box(30, 20, 70, 50), frame=8, object_id=2)
    truth = {(one.frame, name): mask for one in whole.propagate("both") for name, mask in one.masks.items()}
    run = cut.propagate("both")
    done = [next(run) for _ in range(25)]
    rest = list(resumed.propagate("both", resume=True))
    assert min(one.frame for one in rest if one.frame >= 5) <= done[-1].frame + 1
    found = {(one.frame, name): mask for one in [*done, *rest] for name, mask in one.masks.items()}
    assert found.keys() == truth.keys()
    assert all(np.array_equal(found[key], truth[key]) for key in truth)


def test_non_overlap_reaches_masks_and_memory(make: Maker) -> None:
    plain, joint = make(), make(non_overlap=True)
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[10:50, 10:60] = True
    for session in (plain, joint):
        session.add(MaskPrompt(mask), object_id=1)
        session.add(MaskPrompt(mask), object_id=2)
    overlaps = [[(one.masks[1] & one.masks[2]).sum() for one in session.propagate()] for session in (plain, joint)]
    assert max(overlaps[0]) > 0
    assert max(overlaps[1][1:]) == 0
    newest = [max(session.tracks[2].entries.values(), key=lambda entry: entry.time) for session in (plain, joint)]
    assert newest[0].spatial is not None
    assert newest[1].spatial is not None
    assert not torch.equal(newest[0].spatial, newest[1].spatial)


def test_suppression_keeps_the_largest_and_clamps_the_others() -> None:
    logits = torch.tensor([[[3.0, -1.0, -20.0]], [[2.0, 5.0, -30.0]]])
    assert suppress_overlap(logits).tolist() == [[[3.0, -10.0, -20.0]], [[-10.0, 5.0, -30.0]]]


def test_frames_are_decoded_when_visited(network: Network, source: ArraySource) -> None:
    asked: list[int] = []

    class Watched(ArraySource):
        def __getitem__(self, index: int) -> Frame:
            asked.append(index)
            return super().__getitem__(index)

    session = Session(network, Watched(np.stack([source[index].image for index in range(FRAMES)])))
    session.add(Box(10, 10, 40, 40))
    run = session.propagate()
    for _ in range(4):
        next(run)
    session.close()
    assert asked == [0, 1, 2, 3]


def test_still_images_are_independent(network: Network, source: ArraySource) -> None:
    session = Session(network, source, NoMemory())
    for frame in (0, 4):
        session.add(Box(10, 10, 40, 40), frame=frame)
    single = Session(network, source, NoMemory())
    answer = single.add(Box(10, 10, 40, 40), frame=4).masks[1]
    masks = by_frame(session.propagate())
    assert np.array_equal(masks[4], answer)
    assert not masks[2].any()
    session.close()
    single.close()


def test_the_callers_code_does_not_run_in_inference_mode(make: Maker) -> None:
    session = make()
    session.add(Scribble(((10, 10), (20, 20), (30, 20))))
    for _ in session.propagate(stop=3):
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.add(Box(10, 10, 400, 40)), "outside|beyond"),
        (lambda s: s.add(Point(10, -3)), "outside|beyond"),
        (lambda s: s.add(Point(10, 10), frame=FRAMES), "frame"),
        (lambda s: s.add(MaskPrompt(np.ones((3, 3), np.bool_))), "size|rows"),
        (lambda s: s.add(Point(10, 10), object_id=0), "object ids"),
        (lambda s: s.add(), "at least one prompt"),
        (lambda s: s.propagate(), "add a prompt"),
        (lambda s: s.remove(4), "no object 4"),
    ],
)
def test_bad_input_names_cause_and_remedy(make: Maker, call: Callable[[Session], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(make())


def test_an_answered_prompt_takes_its_pixels_from_tracked_objects_memory(make: Maker) -> None:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[10:50, 10:60] = True
    memories = []
    for prompted_later in (False, True):
        session = make(non_overlap=True)
        session.add(MaskPrompt(mask), object_id=1)
        if prompted_later:
            session.add(MaskPrompt(np.ones((ROWS, COLUMNS), np.bool_)), object_id=2, frame=1)
        list(session.propagate(stop=1))
        tracked = next(entry for entry in session.tracks[1].entries.values() if entry.time == 1)
        assert tracked.spatial is not None
        memories.append(tracked.spatial)
    assert not torch.equal(*memories)


def test_a_mask_prior_reaches_the_next_frame_only_where_the_network_asks_for_it(source: ArraySource) -> None:
    """Two prompts with equal memories but other logits: only a network with a mask prior can tell them apart."""
    found: dict[bool, list[torch.Tensor]] = {}
    for prior in (False, True):
        torch.manual_seed(3)
        network = Network(replace(tiny_random(), mask_prior=prior))
        for scale in (1.0, 3.0):
            session = Session(network, source)
            session.add(Box(10, 10, 40, 40))
            track = session.tracks[1]
            track.prompted[0] = replace(track.prompted[0], logits=track.prompted[0].logits * scale)
            list(session.propagate(stop=1))
            found.setdefault(prior, []).append(max(track.entries.values(), key=lambda entry: entry.time).logits)
            session.close()
    assert torch.equal(*found[False])
    assert not torch.equal(*found[True])


def test_a_network_that_carries_masks_undoes_and_resumes_exactly(tmp_path: Path) -> None:
    """What motion is found between, the frames' small pictures, is part of the memory and of its snapshots."""
    torch.manual_seed(3)
    network = Network(replace(tiny_random(), dense_prompts=True, mask_prior=True, mask_carried=True))
    moving = ArraySource(scene(5, "abdomen", frames=24, size=64).images)

    def session(folder: Path | None = None) -> Session:
        made = Session(network, moving, options=SessionOptions(snapshot_every=8, snapshot_folder=folder))
        made.add(Box(10, 10, 40, 40))
        return made

    whole = session()
    masks = by_frame(whole.propagate())
    remembered = whole.tracks[1].entries.values()
    assert all(entry.view is not None for entry in remembered)
    assert [entry.time for entry in remembered if entry.fine is not None] == [23]  # older ones are not handed on
    whole.add(Point(50, 50), frame=12)
    list(whole.propagate(start=12))
    whole.undo()
    again = by_frame(whole.propagate(start=12))
    assert all(np.array_equal(again[frame], masks[frame]) for frame in again)
    assert len(again) == 12
    whole.close()

    cut, resumed = session(tmp_path), session(tmp_path)
    run = cut.propagate()
    done = [next(run) for _ in range(14)]
    found = by_frame(iter([*done, *resumed.propagate(resume=True)]))
    assert len(found) == 24
    assert all(np.array_equal(found[frame], masks[frame]) for frame in found)
    cut.close()
    resumed.close()
