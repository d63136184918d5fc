"""ReSurgSAM2's long-term memory against traces worked out by hand from the released rules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from varied_run import varied_run

from trocar.memory import DiverseLongTerm, Recent
from trocar.memory.scripted import Answer, ScriptedTrack

SURE = Answer(iou=(0.96, 0.5, 0.4))
DOUBTFUL = Answer(iou=(0.95, 0.5, 0.4))  # the threshold itself does not count
ABSENT = Answer(iou=(0.99, 0.5, 0.4), score=-1.0)


def memories(unlike: dict[int, float]) -> dict[str, object]:
    """A script whose (2, 1, 1) spatial memories are (1, x): the larger x, the less they are like (1, 0)."""
    return {"spatial": lambda time: torch.tensor([1.0, unlike.get(time, 0.0)]).reshape(2, 1, 1)}


def tracked(policy: DiverseLongTerm, answers: list[Answer], unlike: dict[int, float]) -> ScriptedTrack:
    track = ScriptedTrack(policy, **memories(unlike))  # type: ignore[arg-type]
    track.prompt(0)
    track.run(range(1, len(answers) + 1), dict(enumerate(answers, 1)))
    return track


def pinned(track: ScriptedTrack, time: int) -> list[int]:
    """The frames that are read in the slot of prompts, at `time`."""
    return [at for at, slot in track.slots(track.read(time)[0]) if slot == 6]


def test_of_five_sure_frames_the_one_least_like_the_prompt_is_read_like_a_prompt() -> None:
    track = tracked(DiverseLongTerm(), [SURE] * 5, {1: 0.1, 2: 0.2, 3: 0.9, 4: 0.3, 5: 0.4})
    # Frame 3 is at distance 7 on frame 10 for the first time, so no longer one of the six.
    assert track.slots(track.read(9)[0]) == [(0, 6), (3, 5), (4, 4), (5, 3)]
    plan = track.read(10)[0]
    assert track.slots(plan) == [(0, 6), (4, 5), (5, 4), (3, 6)]
    assert track.pointers(plan) == [(0, 10), (5, 5), (4, 6), (3, 7), (2, 8), (1, 9)]


def test_candidates_need_no_presence_and_no_neighbours_and_bad_frames_do_not_clear_them() -> None:
    answers = [SURE, DOUBTFUL, ABSENT, DOUBTFUL, SURE, DOUBTFUL, SURE, DOUBTFUL]
    assert pinned(tracked(DiverseLongTerm(), answers, {3: 0.5}), 30) == [0]  # four candidates: 1, 3, 5, 7
    assert pinned(tracked(DiverseLongTerm(), [*answers, SURE], {3: 0.5}), 30) == [0, 3]
    assert pinned(tracked(DiverseLongTerm(streak="unbroken"), [*answers, SURE], {3: 0.5}), 30) == [0]


def test_later_candidates_are_compared_with_the_newest_long_term_frame() -> None:
    # From (1, 0) frame 8 is the farthest of 6 to 10, from frame 3's (1, 2) it is frame 6.
    unlike = {3: 2.0, 6: 0.0, 7: 1.0, 8: 3.0, 9: 1.0, 10: 1.0}
    assert pinned(tracked(DiverseLongTerm(), [SURE] * 10, unlike), 30) == [0, 3, 6]


def test_the_queue_holds_three_and_its_oldest_leaves() -> None:
    # All memories equal: of equals the first is taken, 1, 6, 11, 16.
    assert pinned(tracked(DiverseLongTerm(), [SURE] * 15, {}), 40) == [0, 1, 6, 11]
    assert pinned(tracked(DiverseLongTerm(), [SURE] * 20, {}), 40) == [0, 6, 11, 16]


def test_width_and_channels_find_another_frame_least_alike() -> None:
    """Two channels, one row of two cells; maps written channel by channel. The prompt has [1, 0], [1, 0].

    1: [0, 9], [9, 0].  width (0 + 1) / 2 = 0.5      channels: cell 0 (1, 1) . (0, 9): 0.71, cell 1 empty: 0.35
    2: [1, 9], [1, 9].  width 1 / sqrt(82) = 0.11    channels: cell 0 alike: 1, cell 1 empty: 0.5
    """
    maps = {0: [[1, 0], [1, 0]], 1: [[0, 9], [9, 0]], 2: [[1, 9], [1, 9]]}

    def spatial(time: int) -> Tensor:
        return torch.tensor(maps[min(time, 2)]).float().reshape(2, 1, 2)

    found = {}
    for mode in ("faithful", "corrected"):
        track = ScriptedTrack(DiverseLongTerm(mode=mode, buffer=2), spatial=spatial)  # type: ignore[arg-type]
        track.prompt(0)
        track.run([1, 2], dict.fromkeys([1, 2], SURE))
        found[mode] = pinned(track, 30)
    assert found == {"faithful": [0, 2], "corrected": [0, 1]}


def test_backward_the_release_finds_no_candidate() -> None:
    found = {}
    for mode in ("faithful", "corrected"):
        track = ScriptedTrack(DiverseLongTerm(mode=mode), direction=-1, **memories({17: 0.9}))  # type: ignore[arg-type]
        track.prompt(20)
        track.run(range(19, 14, -1), dict.fromkeys(range(15, 20), SURE))
        found[mode] = pinned(track, 5)
    assert found == {"faithful": [20], "corrected": [20, 17]}


def test_candidates_are_first_compared_with_the_latest_prompt_met() -> None:
    # Prompts on 0 and 50 are (1, 0), that on 10 is (1, 1), least like which is frame 12, at (1, -1).
    # Along the width of one cell the cosine of a channel is that of two numbers: their signs', 0 where one is 0. So to
    # 50 all frames are (1 + 0) / 2, and the first is taken; to 10 frame 12 would be the least alike, (1 - 1) / 2.
    unlike = {10: 1.0, 11: 1.0, 12: -1.0}
    found = {}
    for mode in ("faithful", "corrected"):
        track = ScriptedTrack(DiverseLongTerm(mode=mode), **memories(unlike))  # type: ignore[arg-type]
        for time in (0, 10, 50):
            track.prompt(time)
        track.run(range(11, 16), dict.fromkeys(range(11, 16), SURE))
        found[mode] = pinned(track, 30)[-1]
    assert found == {"faithful": 11, "corrected": 12}


def test_a_prompt_takes_the_place_of_a_long_term_frame_and_of_a_candidate() -> None:
    track = tracked(DiverseLongTerm(), [SURE] * 7, {3: 0.9})
    track.prompt(3)
    track.prompt(7)
    assert pinned(track, 30) == [0, 3, 7]
    assert len(track.policy.live()) == 7 + 1  # frames 0 to 7, one entry each


@pytest.mark.parametrize("direction", [1, -1])
def test_without_room_for_long_term_frames_it_is_recent(direction: int) -> None:
    own = {"max_prompted": 2, "stride": 2}
    turns = (direction, SURE, ABSENT)
    assert varied_run(DiverseLongTerm(capacity=0, **own), *turns) == varied_run(Recent(**own), *turns)  # type: ignore[arg-type]
    assert varied_run(DiverseLongTerm(**own), *turns) != varied_run(Recent(**own), *turns)  # type: ignore[arg-type]


def test_memory_is_bounded() -> None:
    """1 prompt, 15 recent frames, 3 long-term ones and 5 candidates at most."""
    track = ScriptedTrack(DiverseLongTerm(), **memories({}))  # type: ignore[arg-type]
    track.prompt(0)
    most = 0
    for time in range(1, 5000):
        track.visit(time, DOUBTFUL if time % 7 else SURE)
        most = max(most, len(track.policy.live()))
    assert 15 < most <= 1 + 15 + 3 + 5
    assert sum(len(value) for value in vars(track.policy).values() if isinstance(value, dict)) <= 1 + 15 + 3 + 5


@pytest.mark.parametrize(
    "knobs",
    [{"mode": "odd"}, {"window": 7}, {"max_prompted": 1}, {"capacity": -1}, {"buffer": 0}, {"streak": "odd"}],
)
def test_impossible_knobs_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        DiverseLongTerm(**knobs)  # type: ignore[arg-type]
