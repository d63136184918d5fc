"""Masks that are held back: right, in order, once each, whatever happens in between. Every path is written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trocar.frames import ArraySource
from trocar.masks import FrameMasks
from trocar.memory import Tree
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    MemoryEntry,
    MemoryPolicy,
    PolicySpec,
    ReadPlan,
    Record,
    SpatialItem,
    Visit,
)
from trocar.model import Network, tiny_random
from trocar.prompts import Box, MaskPrompt, Point
from trocar.track.order import Direction, Pass
from trocar.track.session import Session, SessionOptions

FRAMES, ROWS, COLUMNS = 24, 40, 56
FIRST, SECOND = Box(5, 5, 25, 23), Box(30, 18, 50, 38)
Shown = dict[tuple[int, int], NDArray[np.bool_]]  # by (frame, object)
Maker = Callable[..., "Watched"]
lags = pytest.mark.parametrize("lag", [0, 3, None])


class Flipping:
    """Two paths that read their own newest frame and the prompts; which is best changes every third frame.

    On every eighth frame the second dies and the first goes on with its two best candidates: all before is settled.
    """

    def __init__(self, lag: int | None = None) -> None:
        self.lag = lag
        self.prompted: dict[int, EntryId] = {}
        self.newest: list[EntryId] = []

    @property
    def spec(self) -> PolicySpec:
        return PolicySpec(lag=self.lag)

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        prompts = [SpatialItem(entry, 6) for entry in self.prompted.values()]
        own = [[SpatialItem(entry, 0)] for entry in self.newest] or [[]]
        return [ReadPlan((*prompts, *items)) for items in own]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        ranked = [sorted(range(3), key=lambda index: -one.iou[index]) for one in candidates]
        if len(candidates) == 1 or visit.time % 8 == 0:
            return [Choice(0, candidate, True) for candidate in ranked[0][:2]]
        order = (1, 0) if visit.time % 3 == 0 else (0, 1)
        return [Choice(parent, ranked[parent][0], True) for parent in order]

    def write(self, visit: Visit, records: list[Record]) -> None:
        if records[0].entry.role == "prompted":
            self.prompted[records[0].entry.time] = records[0].entry.id
        else:
            self.newest = [record.entry.id for record in records]

    def live(self) -> set[EntryId]:
        return {*self.prompted.values(), *self.newest}


class Watched(Session):
    """A session that writes down what was decided on each frame of each pass, and how much waits."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.passes: list[tuple[Direction, list[tuple[int, dict[int, list[Record]]]]]] = []
        self.waiting = 0

    def _track(self, stretch: Pass) -> Iterator[FrameMasks]:
        self.passes.append((stretch.direction, []))
        return super()._track(stretch)

    def _loop(self, tracks: Any, stretch: Pass) -> Any:
        for frame, outcomes in super()._loop(tracks, stretch):
            if self.passes:
                self.passes[-1][1].append((frame, {one.object_id: one.records for one in outcomes}))
            yield frame, outcomes
            self.waiting = max(self.waiting, *(len(track.lineage.stages) for track in self.tracks.values()), 0)


@pytest.fixture(scope="module")
def network() -> Network:
    """Random weights; the seed is one with which candidates differ and are not empty."""
    torch.manual_seed(3)
    return Network(tiny_random())


@pytest.fixture(scope="module")
def source() -> ArraySource:
    images = np.random.default_rng(0).integers(0, 255, (FRAMES, ROWS, COLUMNS, 3), dtype=np.uint8)
    return ArraySource(images)


@pytest.fixture
def make(network: Network, source: ArraySource) -> Iterator[Maker]:
    sessions: list[Watched] = []

    def made(policy: MemoryPolicy, folder: Path | None = None) -> Watched:
        sessions.append(Watched(network, source, policy, SessionOptions(snapshot_every=5, snapshot_folder=folder)))
        return sessions[-1]

    yield made
    for session in sessions:
        session.close()


def shown(made: Sequence[FrameMasks]) -> Shown:
    """What was handed out; each object of each frame once."""
    pairs = [((one.frame, name), mask) for one in made for name, mask in one.masks.items()]
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


def written_out(visits: list[tuple[int, dict[int, list[Record]]]], lag: int | None) -> Shown:
    """The masks of a pass by brute force: all paths of each object in full, best first."""
    found: Shown = {}
    for name in {name for _, records in visits for name in records}:
        paths: list[list[MemoryEntry]] = [[], []]  # two at most when a part of a pass begins
        frames: list[int] = []
        decided: list[MemoryEntry] = []
        for frame, records in visits:
            if name not in records:
                continue
            frames.append(frame)
            chosen = [(record, record.choice) for record in records[name] if record.choice is not None]
            shared = records[name][0].entry
            paths = [[*paths[choice.parent], record.entry] for record, choice in chosen] or [
                [*path, shared] for path in paths
            ]
            if lag is not None and len(frames) > lag:
                decided.append(paths[0][len(decided)])
        decided += paths[0][len(decided) :]
        for frame, entry in zip(frames, decided, strict=True):
            large = F.interpolate(entry.logits[None, None].float(), size=(ROWS, COLUMNS), mode="bilinear")
            found[frame, name] = (large[0, 0] > 0).numpy()
    return found


def assert_same(first: Shown, second: Shown) -> None:
    assert first.keys() == second.keys()
    assert not [at for at in first if not np.array_equal(first[at], second[at])]


def disc() -> MaskPrompt:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[10:30, 20:44] = True
    return MaskPrompt(mask)


@lags
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_masks_are_those_of_the_best_path(make: Maker, lag: int | None, direction: Direction) -> None:
    """Two objects, of which one is prompted later, and a correction in the middle."""
    session = make(Flipping(lag))
    session.add(FIRST, frame=4)
    session.add(SECOND, frame=9, object_id=2)
    session.add(Point(40, 10), frame=14)
    run = session.propagate(direction)
    expected = {
        "forward": list(range(4, FRAMES)),
        "backward": list(range(14, -1, -1)),
        "both": [*range(4, FRAMES), *range(8, -1, -1)],
    }[direction]
    assert len(run) == len(expected)
    made = list(run)
    assert [one.frame for one in made] == expected
    truth: Shown = {}
    for _, visits in session.passes:
        truth |= written_out(visits, lag)
    assert_same(shown(made), truth)
    assert {one.frame for one in made if 1 in one.prompted} == {4, 14}


def test_a_lag_revises_masks_indeed(make: Maker) -> None:
    found = {}
    for lag in (0, 3, None):
        session = make(Flipping(lag))
        session.add(FIRST)
        found[lag] = shown(list(session.propagate()))
    for one, other in ((0, 3), (3, None), (0, None)):
        assert [at for at in found[one] if not np.array_equal(found[one][at], found[other][at])]


def test_a_lag_bounds_what_waits_and_agreement_ends_the_waiting(make: Maker) -> None:
    for lag in (0, 3, None):
        session = make(Flipping(lag))
        session.add(FIRST)
        list(session.propagate())
        # Paths part on frames 1, 8 and 16; what one frame decides is handed out before the next is visited.
        assert session.waiting == (8 if lag is None else lag)


def test_nothing_waits_where_hypotheses_agree(make: Maker) -> None:
    """SAM2Long is certain on every frame: its paths are one, and the end of the video need not be waited for."""
    session = make(Tree(uncertainty=0.0))
    session.add(FIRST)
    seen = [masks.frame for masks in session.propagate() if not session.tracks[1].lineage.stages]
    assert len(session.tracks[1].policy.paths) == 1  # type: ignore[attr-defined]
    assert seen == list(range(FRAMES))
    assert session.waiting == 0


@lags
def test_objects_come_and_go_during_a_pass(make: Maker, lag: int | None) -> None:
    """After frame 2 a second object is added on frame 12; after frame 15 the first is removed."""
    session = make(Flipping(lag))
    session.add(FIRST)
    made = []
    removed_at = 0
    for masks in session.propagate():
        made.append(masks)
        if masks.frame == 2:
            session.add(SECOND, frame=12, object_id=2)
        if masks.frame == 15:
            session.remove(1)
            removed_at = session.passes[-1][1][-1][0]
    assert [one.frame for one in made] == list(range(FRAMES))
    assert removed_at >= 15
    truth = written_out(session.passes[-1][1], lag)
    assert {frame for frame, name in truth if name == 1} == set(range(removed_at + 1))
    gone = {(frame, 1) for frame in range(16, removed_at + 1)}  # they waited when the object was removed
    assert_same(shown(made), {at: mask for at, mask in truth.items() if at not in gone})


@lags
def test_parts_with_stop_and_start_cover_every_frame_once(make: Maker, lag: int | None) -> None:
    session = make(Flipping(lag))
    session.add(FIRST)
    session.add(SECOND, frame=6, object_id=2)
    made = list(session.propagate(stop=10))
    assert [one.frame for one in made] == list(range(11))
    made += session.propagate(start=11)
    assert [one.frame for one in made] == list(range(FRAMES))
    found = shown(made)
    # The end of a part decides what it holds; what comes after is as in one run.
    assert_same(found, written_out(session.passes[0][1], lag) | written_out(session.passes[1][1], lag))
    whole = shown(list(session.propagate()))
    assert_same(*({at: mask for at, mask in one.items() if at[0] > 10} for one in (found, whole)))


@lags
def test_what_follows_a_correction_is_the_same_however_far_tracking_had_gone(make: Maker, lag: int | None) -> None:
    went_on, stopped = make(Flipping(lag)), make(Flipping(lag))
    later = []
    for session, stop in ((went_on, None), (stopped, 13)):
        session.add(FIRST)
        list(session.propagate(stop=stop))
        session.add(disc(), frame=13)
        later.append(shown(list(session.propagate(start=13))))
        assert_same(later[-1], written_out(session.passes[-1][1], lag) | {(13, 1): disc().mask})
    assert_same(*later)


@lags
def test_undo_restores_the_earlier_masks_exactly(make: Maker, lag: int | None) -> None:
    session = make(Flipping(lag))
    session.add(FIRST)
    first = shown(list(session.propagate()))
    session.add(disc(), frame=13)
    edited = shown(list(session.propagate(start=13)))
    assert [at for at in edited if at[0] > 13 and not np.array_equal(first[at], edited[at])]
    frame = session.undo()
    again = shown(list(session.propagate(start=frame)))
    assert_same(again, {at: mask for at, mask in first.items() if at[0] >= 13})


@pytest.mark.parametrize(
    "policy",
    [Flipping(0), Flipping(3), Flipping(12), Flipping(None), Tree(min_iou=0.1)],
    ids=["0", "3", "12", "end", "tree"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(make: Maker, tmp_path: Path, policy: MemoryPolicy) -> None:
    """Wherever it is interrupted: no frame is missing, none has another mask, in order and once each."""
    prompts = ((FIRST, 9, 1), (SECOND, 12, 2), (Point(40, 10), 15, 1))

    def prompted(folder: Path | None = None) -> Session:
        session = make(policy, folder)
        for prompt, frame, name in prompts:
            session.add(prompt, frame=frame, object_id=name)
        return session

    truth = list(prompted().propagate("both"))  # 9 to 23, then 11 to 0
    for count in (1, 4, 12, 16, 25):
        cut, resumed = prompted(tmp_path / str(count)), prompted(tmp_path / str(count))
        run = cut.propagate("both")
        done = [next(run) for _ in range(count)]
        rest = resumed.propagate("both", resume=True)
        promised, made = len(rest), list(rest)
        assert promised == len(made)
        # It goes on in the order of the whole run, at or before the first frame that was not handed out.
        frames = [one.frame for one in truth]
        assert [one.frame for one in made] == frames[len(frames) - len(made) :]
        assert len(made) >= len(truth) - count
        assert_same(shown(done) | shown(made), shown(truth))


def test_a_frame_that_is_prompted_while_it_waits_shows_the_answer(make: Maker) -> None:
    session = make(Flipping(3))
    session.add(FIRST)
    made = {}
    for masks in session.propagate():
        made[masks.frame] = masks
        if masks.frame == 10:
            answer = session.add(Point(40, 10), frame=12).masks[1]
    assert sorted(made) == list(range(FRAMES))
    assert np.array_equal(made[12].masks[1], answer)
    assert made[12].prompted == {1}


@lags
def test_undo_in_the_middle_of_a_pass_stops_nothing(make: Maker, lag: int | None) -> None:
    """Of an addition, whose object has waiting frames, and of a removal."""
    session = make(Flipping(lag))
    session.add(FIRST)
    session.add(SECOND, object_id=2)
    seen: dict[int, set[int]] = {}
    for masks in session.propagate():
        seen[masks.frame] = set(masks.masks)
        if masks.frame == 5:
            session.add(Point(40, 10), frame=20)
        if masks.frame == 9:
            # With a lag a snapshot was written since the pass was told of the addition.
            assert session.undo() == (20 if lag == 0 else 0)
            session.remove(2)
        if masks.frame == 13:
            session.undo()
    assert sorted(seen) == list(range(FRAMES))
    assert all(1 in names for names in seen.values())
    assert 2 in seen[FRAMES - 1]
