"""DiveMem against traces worked out by hand from section 4.2 of the paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from varied_run import varied_run

from trocar.memory import DiveMem, Recent
from trocar.memory.scripted import Answer, ScriptedTrack
from trocar.memory.seam import ReadPlan

SURE = Answer(iou=(0.96, 0.5, 0.4))
DOUBTFUL = Answer(iou=(0.9, 0.5, 0.4))
ABSENT = Answer(iou=(0.99, 0.5, 0.4), score=-1.0)
# The cosine of two features is that of the angle between them. Of 1 to 5 frame 3 is least like frame 0; of 6 to 10
# frame 6 is least like frame 0 (90 degrees off) but frame 7 least like frame 3 (80 degrees off, 6 only 10).
ANGLES = {0: 0, 1: 10, 2: 20, 3: 80, 4: 30, 5: 40, 6: 90, 7: 0, 8: 70, 9: 60, 10: 50}


def turned(angles: Mapping[int, float]) -> Callable[[int], Tensor]:
    """(2, 1, 1) features: the unit vector at each time's angle in degrees."""

    def feature(time: int) -> Tensor:
        angle = math.radians(angles.get(time, 0))
        return torch.tensor([math.cos(angle), math.sin(angle)]).reshape(2, 1, 1)

    return feature


def long_term(plan: ReadPlan, track: ScriptedTrack) -> list[int]:
    return [time for time, slot in track.slots(plan) if slot is not None and slot > 6]


def promoted(policy: DiveMem, answers: list[Answer], angles: Mapping[int, float] = ANGLES) -> list[int]:
    """Prompt frame 0, track frames 1, 2, ... with these answers, and see what is long-term after them."""
    track = ScriptedTrack(policy, turned(angles))
    track.prompt(0)
    track.run(range(1, len(answers) + 1), dict(enumerate(answers, 1)))
    return long_term(track.read(len(answers) + 1)[0], track)


def test_of_five_sure_frames_the_one_least_like_the_first_is_read_beside_the_six_recent_ones() -> None:
    track = ScriptedTrack(DiveMem(), turned(ANGLES))
    track.prompt(0)
    track.run(range(1, 6), dict.fromkeys(range(1, 6), SURE))
    plan = track.read(6)[0]
    assert track.slots(plan) == [(0, 6), (3, 7), (1, 4), (2, 3), (3, 2), (4, 1), (5, 0)]
    assert track.pointers(plan) == [(0, 6), (5, 1), (4, 2), (3, 3), (2, 4), (1, 5)]
    assert long_term(track.read(6)[0], track) == [3]  # asking again changes nothing


def test_a_streak_of_five_promotes_one_frame_and_the_buffer_is_empty_after_it() -> None:
    """Golden trace 11, first half."""
    assert promoted(DiveMem(), [SURE] * 4) == []
    assert promoted(DiveMem(), [SURE] * 5) == [3]
    assert promoted(DiveMem(), [SURE] * 9) == [3]


def test_the_threshold_itself_does_not_count() -> None:
    """Golden trace 11, second half."""
    assert promoted(DiveMem(), [Answer(iou=(0.95, 0.5, 0.4))] * 8) == []
    assert promoted(DiveMem(min_iou=0.94), [Answer(iou=(0.95, 0.5, 0.4))] * 5) == [3]


def test_later_candidates_are_compared_with_the_newest_long_term_frame() -> None:
    assert promoted(DiveMem(), [SURE] * 10) == [3, 7]


def test_of_equally_alike_candidates_the_first_is_taken() -> None:
    assert promoted(DiveMem(), [SURE] * 5, dict.fromkeys(range(1, 6), 45)) == [1]


@pytest.mark.parametrize("bad", [DOUBTFUL, ABSENT], ids=["doubtful", "absent"])
def test_a_bad_frame_clears_the_buffer_or_pauses_it(bad: Answer) -> None:
    # Sure frames are 1, 2, 3 and 5, 6, ...: 5 to 9 follow each other, 1, 2, 3, 5, 6 are five in all.
    answers = [SURE] * 3 + [bad] + [SURE] * 5
    assert promoted(DiveMem(), answers[:8]) == []
    assert promoted(DiveMem(), answers) == [6]  # of 5 to 9 the farthest from 0 degrees, at 90
    assert promoted(DiveMem(streak="unbroken"), answers[:8]) == []
    assert promoted(DiveMem(streak="any"), answers[:5]) == []
    assert promoted(DiveMem(streak="any"), answers[:6]) == [6]


def test_a_gap_in_time_breaks_consecutive_frames_only() -> None:
    found = {}
    for streak in ("consecutive", "unbroken", "any"):
        track = ScriptedTrack(DiveMem(streak=streak), turned(ANGLES))  # type: ignore[arg-type]
        track.prompt(0)
        track.run([1, 2, 3, 5, 6], dict.fromkeys([1, 2, 3, 5, 6], SURE))
        found[streak] = long_term(track.read(7)[0], track)
    assert found == {"consecutive": [], "unbroken": [6], "any": [6]}


def test_presence_is_a_threshold_on_the_score() -> None:
    assert promoted(DiveMem(presence=4.9), [SURE] * 5) == [3]  # the script's score is 5
    assert promoted(DiveMem(presence=5.0), [SURE] * 5) == []
    assert promoted(DiveMem(presence=-9.0), [ABSENT] * 5) == []


def test_recent_frames_are_read_whatever_their_quality() -> None:
    track = ScriptedTrack(DiveMem(), turned(ANGLES))
    track.prompt(0)
    plan = track.run(range(1, 10), {time: (ABSENT, DOUBTFUL)[time % 2] for time in range(1, 10)})[0]
    assert track.slots(plan) == [(0, 6), (3, 5), (4, 4), (5, 3), (6, 2), (7, 1), (8, 0)]


def test_the_queue_is_first_in_first_out_and_the_first_frame_stays() -> None:
    angles = {5 * streak + place: 90 * (place == 3) * (streak % 2 == 0) for streak in range(5) for place in range(1, 6)}
    # Streaks 1-5, 11-15 and 21-25: the third frame is at 90 degrees, the others at 0. 6-10 and 16-20: all at 0, after
    # a long-term frame at 90, so the first of them. 3, 6, 13, 16, 23 in turn.
    assert promoted(DiveMem(), [SURE] * 15, angles) == [3, 6, 13]
    assert promoted(DiveMem(), [SURE] * 25, angles) == [13, 16, 23]
    assert promoted(DiveMem(counts_first=False), [SURE] * 25, angles) == [6, 13, 16, 23]
    assert promoted(DiveMem(capacity=2), [SURE] * 25, angles) == [23]


def test_each_similarity_finds_another_frame_least_alike() -> None:
    """Two channels, two cells; each cell written as (channel 0, channel 1). The first frame is (1, 0), (1, 0).

    1: (10, 0), (-1, 0).   flat 9 / sqrt(2 * 101) = 0.63   pooled (4.5, 0): 1        cells (1 - 1) / 2 = 0
    2: (1, 1), (1, 1).     flat 2 / sqrt(2 * 4) = 0.71     pooled (1, 1): 0.71       cells 0.71
    3: (0, 10), (1, -9.5). flat 1 / sqrt(2 * 191) = 0.05   pooled (0.5, 0.25): 0.89  cells (0 + 0.105) / 2 = 0.052
    """
    cells = {0: [(1, 0), (1, 0)], 1: [(10, 0), (-1, 0)], 2: [(1, 1), (1, 1)], 3: [(0, 10), (1, -9.5)]}
    found = {}
    for similarity in ("flat", "pooled", "cells"):
        policy = DiveMem(buffer=3, similarity=similarity)  # type: ignore[arg-type]
        track = ScriptedTrack(policy, lambda time: torch.tensor(cells[min(time, 3)]).float().T.reshape(2, 1, 2))
        track.prompt(0)
        track.run(range(1, 4), dict.fromkeys(range(1, 4), SURE))
        found[similarity] = long_term(track.read(4)[0], track)
    assert found == {"flat": [3], "pooled": [2], "cells": [1]}


def test_learned_rows_are_shared_or_ranked_from_the_newest() -> None:
    slots = {}
    for knob in ("shared", "ranked"):
        track = ScriptedTrack(DiveMem(slots=knob), turned(ANGLES))  # type: ignore[arg-type]
        track.prompt(0)
        track.run(range(1, 11), dict.fromkeys(range(1, 11), SURE))
        slots[knob] = track.slots(track.read(30)[0])
    assert slots == {"shared": [(0, 6), (3, 7), (7, 7)], "ranked": [(0, 6), (3, 8), (7, 7)]}


def test_far_long_term_frames_give_pointers_if_asked_for() -> None:
    tracks = [ScriptedTrack(DiveMem(long_term_pointers=knob), turned(ANGLES)) for knob in (False, True)]
    for track in tracks:
        track.prompt(0)
        track.run(range(1, 18), dict.fromkeys(range(1, 6), SURE))
    # Frame 3 is 15 steps from 18, the last distance at which any frame gives its pointer.
    assert [track.pointers(track.read(18)[0]).count((3, 15)) for track in tracks] == [1, 1]
    without, beyond = (track.read(19)[0] for track in tracks)
    assert tracks[1].pointers(beyond) == [*tracks[0].pointers(without), (3, 16)]
    assert all(item.normaliser == 15 for item in beyond.pointers)


def test_a_long_term_frame_in_the_window_is_read_twice_or_once() -> None:
    track = ScriptedTrack(DiveMem(in_window="skip"), turned(ANGLES))
    track.prompt(0)
    track.run(range(1, 6), dict.fromkeys(range(1, 6), SURE))
    assert track.slots(track.read(6)[0]) == [(0, 6), (1, 4), (2, 3), (3, 2), (4, 1), (5, 0)]
    track.run(range(6, 10), {})
    assert track.slots(track.read(10)[0])[:2] == [(0, 6), (3, 7)]  # seven steps away, so no longer in the window


def test_backward_is_the_mirror_image() -> None:
    forward = ScriptedTrack(DiveMem(), turned(ANGLES))
    backward = ScriptedTrack(DiveMem(), turned({20 - time: angle for time, angle in ANGLES.items()}), direction=-1)
    for track, times in ((forward, range(11)), (backward, range(20, 9, -1))):
        track.prompt(times[0])
        track.run(times[1:], dict.fromkeys(times, SURE))
    mirrored = [(20 - time, slot) for time, slot in backward.slots(backward.read(9)[0])]
    assert mirrored == forward.slots(forward.read(11)[0])
    assert (3, 7) in mirrored


def test_a_correction_is_read_as_a_prompt_and_candidates_are_compared_with_what_the_pass_met_first() -> None:
    # Frames 11 to 15 are the first sure ones. From frame 0 (0 degrees) the farthest is 11, from the correction on
    # frame 10 (90 degrees) it is 12.
    angles = {10: 90, 11: 80, 12: 10, 13: 20, 14: 30, 15: 40}
    track = ScriptedTrack(DiveMem(), turned(angles))
    track.prompt(0)
    track.run(range(1, 10), dict.fromkeys(range(1, 10), DOUBTFUL))
    track.prompt(10)
    track.run(range(11, 16), dict.fromkeys(range(11, 16), SURE))
    assert track.slots(track.read(30)[0]) == [(0, 6), (10, 6), (11, 7)]


def test_backward_the_first_prompt_is_the_last_frame_and_one_ahead_is_not_compared_with() -> None:
    # From frame 20 (90 degrees) the farthest of 19 to 15 is 18; from frame 0 (0 degrees), still to come, it is 19.
    track = ScriptedTrack(DiveMem(), turned({20: 90, 19: 80, 18: 10, 17: 20, 16: 30, 15: 40}), direction=-1)
    track.prompt(0)
    track.prompt(20)
    track.run(range(19, 14, -1), dict.fromkeys(range(15, 20), SURE))
    assert track.slots(track.read(5)[0]) == [(0, 6), (20, 6), (18, 7)]


def test_a_limit_on_prompts_spares_the_first() -> None:
    track = ScriptedTrack(DiveMem(max_prompted=2), turned({}))
    for time in (0, 10, 20, 40):
        track.prompt(time)
    assert track.slots(track.read(30)[0]) == [(20, 6), (40, 6), (0, 6)]


def test_a_prompt_takes_the_place_of_a_long_term_frame_and_of_a_candidate() -> None:
    track = ScriptedTrack(DiveMem(), turned(ANGLES))
    track.prompt(0)
    track.run(range(1, 8), dict.fromkeys(range(1, 8), SURE))
    track.prompt(3)
    track.prompt(7)
    plan = track.read(8)[0]
    assert long_term(plan, track) == []
    assert [time for time, slot in track.slots(plan) if slot == 6] == [0, 3, 7]
    assert len(track.policy.live()) == 7 + 1  # frames 0 to 7, one entry each


def test_pointer_code_depends_on_a_short_length_only_when_faithful() -> None:
    plans = [ScriptedTrack(DiveMem(mode=mode), length=8) for mode in ("faithful", "corrected")]
    for track in plans:
        track.prompt(0)
    assert [track.read(1)[0].pointers[0].normaliser for track in plans] == [7, 15]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("knobs", [{"capacity": 1}, {"capacity": 0, "counts_first": False}])
@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_without_room_for_long_term_frames_it_is_recent(direction: int, knobs: dict[str, int], mode: str) -> None:
    own = {"mode": mode, "max_prompted": 2, "stride": 2}
    turns = (direction, SURE, ABSENT)
    assert varied_run(DiveMem(**own, **knobs), *turns) == varied_run(Recent(**own), *turns)  # type: ignore[arg-type]
    assert varied_run(DiveMem(**own), *turns) != varied_run(Recent(**own), *turns)  # type: ignore[arg-type]


def test_memory_is_bounded() -> None:
    """1 prompt, 15 recent frames, 3 long-term ones and 5 candidates at most."""
    track = ScriptedTrack(DiveMem(), turned(ANGLES))
    track.prompt(0)
    answers = {time: DOUBTFUL if time % 7 == 0 else SURE for time in range(1, 5000)}
    most = 0
    for time, answer in answers.items():
        track.visit(time, answer)
        most = max(most, len(track.policy.live()))
    assert 15 < most <= 1 + 15 + 3 + 5
    assert sum(len(value) for value in vars(track.policy).values() if isinstance(value, dict)) <= 1 + 15 + 3 + 5


@pytest.mark.parametrize(
    "knobs",
    [
        {"mode": "odd"},
        {"window": 7},
        {"max_prompted": 1},
        {"capacity": 0},
        {"buffer": 0},
        {"streak": "odd"},
        {"similarity": "width"},
        {"slots": "odd"},
        {"in_window": "odd"},
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        DiveMem(**knobs)  # type: ignore[arg-type]
