"""Objects that a prompter finds: they come late, leave, return, and are what they are in the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from coloured_squares import COLUMNS, ROWS, by_colour, square, squares
from numpy.typing import NDArray

from trocar.frames import ArraySource, Frame
from trocar.load import load_memory
from trocar.masks import FrameMasks
from trocar.memory import NoMemory
from trocar.metrics import iou
from trocar.model import Network, tiny_random
from trocar.prompts import Box, ClassPrompt, Point
from trocar.track.prompter import Credibility
from trocar.track.session import Session, SessionOptions

FRAMES = 30
# Corners lie where cells of the network's map of 16 x 16 begin: 6 rows and 8 columns apart.
RED = {frame: (6, 8 * frame) for frame in range(5, 12)} | {frame: (66, 8 * (29 - frame)) for frame in range(19, 30)}
LEFT = dict.fromkeys(range(9, 30), (36, 0))
RIGHT = dict.fromkeys(range(11, 30), (36, 96))
Maker = Callable[..., Session]


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(replace(tiny_random(), dense_prompts=True, mask_prior=True))


@pytest.fixture(scope="module")
def source() -> ArraySource:
    """Red comes at 5, leaves at 12 and returns at 19; blue is there twice, from 9 and from 11; nothing is green."""
    return squares(FRAMES, {"red": [RED], "blue": [LEFT, RIGHT]})


@pytest.fixture
def make(network: Network, source: ArraySource) -> Iterator[Maker]:
    """make(memory, source, folder, names): a session that looks for colours, all three by default."""
    made: list[Session] = []

    def session(memory: Any = None, own: Any = None, folder: Path | None = None, names: Any = ()) -> Session:
        options = SessionOptions(snapshot_every=8, snapshot_folder=folder)
        prompter = by_colour(own or source, *names)
        made.append(Session(network, own or source, memory or NoMemory(), options, prompter=prompter))
        return made[-1]

    yield session
    for one in made:
        one.close()


def by_object(masks: Iterator[FrameMasks]) -> dict[tuple[int, int], NDArray[np.bool_]]:
    return {(name, one.frame): mask for one in masks for name, mask in one.masks.items() if mask.any()}


def test_objects_are_what_is_in_the_pictures_from_first_to_last(make: Maker) -> None:
    """Without a memory nothing is tracked, and every frame shows what is seen: red, and both blues."""
    session = make()
    found = by_object(session.propagate())
    assert {name: (one.name, one.first) for name, one in session.found.items()} == {
        1: ("red", 5),
        2: ("blue", 9),
        3: ("blue", 11),
    }
    for name, places in ((1, RED), (2, LEFT), (3, RIGHT)):
        assert {frame for number, frame in found if number == name} == set(places)
        assert all(iou(found[name, frame], square(place)).value > 0.7 for frame, place in places.items())
    assert session.found[1].seen == {"red": len(RED)}


def test_a_class_that_never_shows_gives_no_masklet_and_all_frames(make: Maker) -> None:
    session = make(names=["green"])
    made = list(session.propagate())
    assert [one.frame for one in made] == list(range(FRAMES))
    assert not any(one.masks for one in made)
    assert session.found == {}


def test_a_start_looks_at_no_frame_twice_and_holds_masks_back_by_two(network: Network, source: ArraySource) -> None:
    class Counting(ArraySource):
        reads: ClassVar[Counter[int]] = Counter()

        def __getitem__(self, index: int) -> Frame:
            self.reads[index] += 1
            return super().__getitem__(index)

    counting = Counting(np.stack([source[frame].image for frame in range(FRAMES)]))
    session = Session(network, counting, load_memory("recent"), prompter=by_colour(source))
    for place, made in enumerate(session.propagate()):
        assert made.frame == place
        assert max(counting.reads) == min(place + 2, FRAMES - 1)
    assert set(counting.reads.values()) == {1}
    session.close()


def test_it_is_found_looking_back_as_well(make: Maker) -> None:
    session = make()
    found = by_object(session.propagate("backward"))
    assert sorted((one.name, one.first) for one in session.found.values()) == [("blue", 29), ("blue", 29), ("red", 29)]
    assert Counter(session.found[name].name for name, _ in found) == {"red": len(RED), "blue": len(LEFT) + len(RIGHT)}


def test_objects_that_are_prompted_are_the_same_to_the_bit_beside_a_prompter_that_sees_nothing(
    network: Network, source: ArraySource
) -> None:
    found = []
    for prompter in (None, by_colour(source, "green")):
        session = Session(network, source, load_memory("divemem"), prompter=prompter)
        session.add(Box(10, 10, 60, 60), frame=2, object_id=4)
        found.append({one.frame: one for one in session.propagate() if one.masks})
        session.close()
    assert found[0].keys() == found[1].keys() == set(range(2, FRAMES))
    for frame, one in found[0].items():
        assert np.array_equal(one.masks[4], found[1][frame].masks[4])
        assert one.scores == found[1][frame].scores


def test_what_the_user_has_prompted_is_not_started_again(make: Maker) -> None:
    session = make(names=["blue"])
    session.add(Box(0, 36, 24, 60), frame=12, object_id=1)
    session.tracks[1].prompted[12] = replace(
        session.tracks[1].prompted[12], logits=torch.where(_low(session, square((36, 0))), 8.0, -8.0)
    )
    list(session.propagate(start=12, stop=14))
    assert [one.first for one in session.found.values()] == [12]  # the right one alone


def _low(session: Session, mask: NDArray[np.bool_]) -> torch.Tensor:
    side = session.tracks[1].prompted[12].logits.shape[-1]
    whole = torch.from_numpy(mask)[None, None].float()
    return torch.nn.functional.interpolate(whole, size=(side, side), mode="area")[0, 0] > 0.5


@pytest.mark.parametrize("memory", ["none", "recent", "divemem", "tree", "motion", "distractor", "self_sorting"])
@pytest.mark.parametrize("stop", [10, 23])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(make: Maker, tmp_path: Path, memory: str, stop: int) -> None:
    """It is stopped while a start is under way (10), and long after (23); snapshots are of frames 7, 15 and 23."""
    whole = make(load_memory(memory))
    expected = list(whole.propagate())
    first = make(load_memory(memory), folder=tmp_path)
    before: list[FrameMasks] = []
    for one in first.propagate():
        before.append(one)
        if one.frame == stop:
            break
    second = make(load_memory(memory), folder=tmp_path)
    going_on = second.propagate(resume=True)
    after = list(going_on)
    assert len(after) <= len(going_on)
    made = {one.frame: one for one in before} | {one.frame: one for one in after}
    assert sorted(made) == list(range(FRAMES))
    for one in expected:
        same = made[one.frame]
        assert one.masks.keys() == same.masks.keys()
        assert all(np.array_equal(mask, same.masks[name]) for name, mask in one.masks.items())
        assert (one.scores, one.prompted, one.classes) == (same.scores, same.prompted, same.classes)
    assert facts(whole) == facts(second)


def facts(session: Session) -> dict[int, Any]:
    return {name: (one.name, one.first, one.frame, one.again, one.seen) for name, one in session.found.items()}


def test_a_second_pass_finds_the_same(make: Maker) -> None:
    session = make(load_memory("recent"))
    first, second = by_object(session.propagate()), by_object(session.propagate())
    assert first.keys() == second.keys()
    assert all(np.array_equal(mask, second[at]) for at, mask in first.items())


def test_a_correction_of_a_found_object_sticks_and_keeps_the_object(make: Maker) -> None:
    session = make(load_memory("recent"))
    list(session.propagate())
    answer = session.add(Point(12, 48), frame=20, object_id=2).masks[2]
    after = {one.frame: one for one in session.propagate(start=20)}
    assert sorted(after) == list(range(20, FRAMES))
    assert np.array_equal(after[20].masks[2], answer)
    assert {one.name for one in session.found.values()} == {"red", "blue"}
    again = {one.frame: one for one in session.propagate()}
    assert np.array_equal(again[20].masks[2], answer)
    assert session.found[2].first == 9


def test_a_removed_object_may_come_back_undone(make: Maker) -> None:
    session = make(load_memory("recent"))
    list(session.propagate())
    assert sorted(session.found) == [1, 2, 3]
    session.remove(2)
    assert sorted(session.found) == [1, 3]
    session.undo()
    assert sorted(session.found) == [1, 2, 3]


def test_memory_stays_bounded_however_often_an_object_returns(network: Network) -> None:
    blinking = squares(60, {"red": [{frame: (30, 40) for frame in range(60) if frame % 6 < 4}]})
    session = Session(
        network,
        blinking,
        load_memory("recent"),
        SessionOptions(credibility=Credibility(frames=2, doubt=2)),
        prompter=by_colour(blinking),
    )
    entries, frames = [], []
    for _ in session.propagate():
        entries.append(sum(len(track.entries) for track in session.tracks.values()))
        frames.append(sum(len(track.prompted) for track in session.tracks.values()))
    assert list(session.found) == [1]  # one red thing, whatever random weights make of it in between
    assert max(entries[30:]) == max(entries[:30])
    assert max(frames) == 1
    session.close()


@pytest.mark.parametrize("frames", [1, 2])
def test_a_single_picture_is_seen_once(network: Network, frames: int) -> None:
    still = squares(frames, {"red": [dict.fromkeys(range(frames), (30, 40))]})
    session = Session(network, still, prompter=by_colour(still))
    assert [sorted(one.masks) for one in session.propagate()] == [[1]] * frames
    session.close()


def test_a_class_is_a_prompt_too(make: Maker, network: Network, source: ArraySource) -> None:
    session = make()
    mask = session.add(ClassPrompt("Red"), frame=6, object_id=5).masks[5]
    assert iou(mask, square(RED[6])).value > 0.7
    for name, said in (("green", "no green is seen on frame 6"), ("pink", "the classes are red, blue, green")):
        with pytest.raises(ValueError, match=said):
            session.add(ClassPrompt(name), frame=6)
    with pytest.raises(ValueError, match="needs a prompter"):
        Session(network, source).add(ClassPrompt("red"))


def test_what_cannot_be_done_is_refused(make: Maker, network: Network, source: ArraySource) -> None:
    with pytest.raises(ValueError, match="one direction"):
        make().propagate("both")

    class Unordered(ArraySource):
        ordered = False

    with pytest.raises(ValueError, match="do not follow one another"):
        make(own=Unordered(np.zeros((2, ROWS, COLUMNS, 3), np.uint8)))

    class TooLarge:
        classes = ("red",)

        def look(self, frame: int, features: object) -> list[Any]:
            from trocar.track.watch import Seen

            return [Seen("red", frame, torch.zeros(64, 64), 1.0, 1.0)]

    session = Session(network, source, prompter=TooLarge())
    with pytest.raises(ValueError, match=r"\(64, 64\): give \(16, 16\)"):
        next(session.propagate())
    session.close()
