"""SAMURAI's rules, one by one, against traces worked out by hand."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch

from trocar.frames import ArraySource
from trocar.memory import Motion, Recent
from trocar.memory.scripted import SIDE, Answer, ScriptedTrack, drawn
from trocar.memory.seam import Candidates, Choice, Record, Visit
from trocar.model import Network, tiny_random
from trocar.prompts import Box
from trocar.track.session import Session

NEUTRAL: dict[str, Any] = {
    "motion_weight": 0.0,
    "min_object_score": 0.0,
    "memory_min_iou": -1.0,
    "memory_min_score": -math.inf,
    "slots": "distance",
}
STILL = Answer(((4, 4, 10, 10),) * 3)
BAD = Answer(((4, 4, 10, 10),) * 3, (0.2, 0.1, 0.1))
GONE = Answer((None, None, None), (0.9, 0.8, 0.7), -5.0)
FAR, NEAR = (12, 12, 16, 16), (4, 4, 10, 10)


def chosen(track: ScriptedTrack, time: int, boxes: Sequence[Any], iou: Sequence[float], score: float = 5.0) -> Choice:
    """What the policy would choose on a frame, after its look at memory."""
    track.read(time)
    return track.policy.choose(track.at(time), [Candidates(drawn(boxes), iou, score)])[0]


def followed(frames: int, **knobs: Any) -> tuple[Motion, ScriptedTrack]:
    """A prompt at 0 and `frames` frames on which the object stands still."""
    policy = Motion(**knobs)
    track = ScriptedTrack(policy)
    track.prompt(0)
    track.run(range(1, frames + 1), dict.fromkeys(range(1, frames + 1), STILL))
    return policy, track


def state_of(policy: Motion) -> list[float]:
    assert policy.state is not None
    return policy.state[0].tolist()


@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_golden_8_motion_outweighs_a_better_score(mode: Literal["corrected", "faithful"]) -> None:
    _, track = followed(15, mode=mode)
    # 0.25 * 0 + 0.75 * 0.80 = 0.60 against 0.25 * 1.0 + 0.75 * 0.75 = 0.8125.
    choice = chosen(track, 16, (FAR, NEAR, FAR), (0.80, 0.75, 0.1))
    assert choice.candidate == 1
    assert choice.tags["motion"] == pytest.approx(1.0)


def test_golden_9_objects_and_sessions_do_not_influence_each_other() -> None:
    def moving(time: int, step: int) -> Answer:
        x = (time * step) % 10
        return Answer(((x, 2, x + 5, 9), (9 - x, 4, 15 - x, 11), NEAR), (0.6, 0.59, 0.5))

    def trace(track: ScriptedTrack, step: int, times: Sequence[int]) -> list[Any]:
        return [(track.slots(track.visit(time, moving(time, step))[0]), vars(track.policy)["stable"]) for time in times]

    alone = []
    for step in (1, 3):
        one = ScriptedTrack(Motion())
        one.prompt(0)
        alone.append((trace(one, step, range(1, 40)), one.policy))
    pair = [ScriptedTrack(Motion()), ScriptedTrack(Motion())]
    for track in pair:
        track.prompt(0)
    together: list[list[Any]] = [[], []]
    for time in range(1, 40):
        for index, step in enumerate((1, 3)):
            together[index] += trace(pair[index], step, [time])
    for index in (0, 1):
        expected, policy = alone[index]
        assert together[index] == expected
        assert isinstance(policy, Motion)
        assert isinstance(pair[index].policy, Motion)
        assert state_of(pair[index].policy) == state_of(policy)  # type: ignore[arg-type]
    assert state_of(pair[0].policy) != state_of(pair[1].policy)  # type: ignore[arg-type]


def test_golden_9_a_policy_that_served_one_session_serves_the_next_as_new() -> None:
    torch.manual_seed(0)
    network = Network(tiny_random())
    images = np.random.default_rng(0).integers(0, 255, (12, 40, 56, 3), dtype=np.uint8)
    policy = Motion(stable_frames=2)
    runs = []
    for _ in range(2):
        session = Session(network, ArraySource(images), policy)
        session.add(Box(5, 5, 30, 30))
        session.add(Box(20, 10, 50, 35), object_id=2)
        runs.append([masks.masks for masks in session.propagate()])
        session.close()
    for first, second in zip(*runs, strict=True):
        assert all(np.array_equal(first[name], second[name]) for name in (1, 2))
    assert vars(policy) == vars(Motion(stable_frames=2))


def test_motion_has_no_say_before_the_object_is_stable() -> None:
    # The prompt is the first stable frame, so frame 14 brings the fifteenth.
    _, early = followed(13)
    assert chosen(early, 14, (FAR, NEAR, FAR), (0.8, 0.75, 0.1)) == Choice(0, 0, True)
    _, late = followed(14)
    assert chosen(late, 15, (FAR, NEAR, FAR), (0.8, 0.75, 0.1)).candidate == 1
    # The release starts the filter on the first tracked frame: frame 15 brings the fifteenth.
    _, early = followed(14, mode="faithful")
    assert chosen(early, 15, (FAR, NEAR, FAR), (0.8, 0.75, 0.1)) == Choice(0, 0, True)
    _, late = followed(15, mode="faithful")
    assert chosen(late, 16, (FAR, NEAR, FAR), (0.8, 0.75, 0.1)).candidate == 1


def test_the_weight_decides() -> None:
    # 0.15: 0.85 * 0.95 = 0.8075 against 0.15 + 0.85 * 0.75 = 0.7875; 0.25: 0.7125 against 0.8125.
    for weight, expected in ((0.15, 0), (0.25, 1)):
        _, track = followed(15, motion_weight=weight)
        assert chosen(track, 16, (FAR, NEAR, FAR), (0.95, 0.75, 0.1)).candidate == expected


def test_an_empty_candidate_has_no_motion_score() -> None:
    _, track = followed(15)
    assert chosen(track, 16, (None, None, None), (0.9, 0.5, 0.4)).tags["motion"] == 0


def test_one_unstable_frame_starts_the_filter_anew() -> None:
    policy, track = followed(20)
    assert policy.stable == 15  # it counts no further
    track.visit(21, BAD)
    assert policy.stable == 0
    track.visit(22, Answer((FAR, FAR, FAR)))
    assert policy.stable == 1
    assert state_of(policy)[:4] == [14, 14, 1, 4]  # the new place, at rest
    assert state_of(policy)[4:] == [0, 0, 0, 0]


@pytest.mark.parametrize(("frames", "stable"), [(3, 0), (20, 15)])
def test_the_threshold_itself_is_unstable_at_first_and_stable_later(frames: int, stable: int) -> None:
    # Warming up the release asks for more than the threshold, afterwards for no less.
    policy, track = followed(frames)
    track.visit(frames + 1, Answer((NEAR,) * 3, (0.3, 0.1, 0.1)))
    assert policy.stable == stable


def test_boxes_are_in_source_pixels_unless_faithful() -> None:
    # Box (4, 4, 10, 10) of 16 x 16: a source of 32 rows and 160 columns stretches it to x 40..100, y 8..20.
    for mode, size, expected in (
        ("corrected", (32, 160), [70, 14, 5, 12]),
        ("corrected", None, [7, 7, 1, 6]),
        # The network's input is 64 x 64: pixels 16 to 39, measured from the first to the last.
        ("faithful", (32, 160), [27.5, 27.5, 1, 23]),
    ):
        policy = Motion(mode=mode)  # type: ignore[arg-type]
        track = ScriptedTrack(policy, size=size)  # type: ignore[arg-type]
        track.prompt(0)
        track.visit(1, STILL)
        assert state_of(policy)[:4] == pytest.approx(expected)


def test_an_absent_object_leaves_the_filter_to_its_prediction() -> None:
    policy, track = followed(20)
    track.run(range(21, 26), dict.fromkeys(range(21, 26), GONE))
    assert state_of(policy)[:4] == pytest.approx([7, 7, 1, 6])
    assert policy.stable == 15
    assert policy.state_time == 25
    # It is sure of the place again as soon as it sees the object there.
    assert chosen(track, 26, (FAR, NEAR, FAR), (0.8, 0.75, 0.1)).candidate == 1


def test_faithful_takes_an_absent_object_to_the_origin() -> None:
    policy, track = followed(20, mode="faithful")
    track.run(range(21, 26), dict.fromkeys(range(21, 26), GONE))
    assert state_of(policy)[0] < 27.5 / 2


def test_an_object_that_was_never_seen_does_not_start_the_filter() -> None:
    policy = Motion()
    track = ScriptedTrack(policy)
    track.prompt(0, None)
    track.visit(1, GONE)
    assert (policy.state, policy.stable) == (None, 0)
    faithful = Motion("faithful")
    track = ScriptedTrack(faithful)
    track.prompt(0, None)
    track.visit(1, GONE)
    assert state_of(faithful)[:4] == [0, 0, 0, 1]


def test_a_prompt_starts_the_filter_anew_when_its_frame_is_visited() -> None:
    policy, track = followed(20)
    track.prompt(21, FAR)
    assert state_of(policy) == [14, 14, 1, 4, 0, 0, 0, 0]
    assert policy.stable == 1
    # A pass begins by telling of all prompts, also of those ahead: they say nothing of where the object is now.
    policy, _ = followed(20)
    ahead = ScriptedTrack(Motion())
    ahead.prompt(40, FAR)
    before = state_of(policy)
    policy.write(Visit(20, 20, size=(SIDE, SIDE)), [Record(entry) for entry in ahead.entries.values()])
    assert policy.prompted.keys() == {0, 40}
    assert state_of(policy) == before
    assert policy.stable == 15


def moving_right(policy: Motion, times: Sequence[int], direction: Literal[1, -1] = 1) -> ScriptedTrack:
    """An object of 4 x 4 pixels on a strip, one pixel to the right for each step of time on the axis."""
    track = ScriptedTrack(policy, direction=direction)
    first, *others = times
    track.prompt(first, (first % 12, 4, first % 12 + 4, 8))
    for time in others:
        x = time % 12
        track.visit(time, Answer(((x, 4, x + 4, 8),) * 3))
    return track


def test_one_prediction_for_each_step_of_a_gap() -> None:
    policy = Motion()
    moving_right(policy, range(6))
    assert policy.state is not None
    speed, x = policy.state[0][4].item(), policy.state[0][0].item()
    assert speed > 0.5
    predicted = policy._predicted(Visit(8, 8, size=(SIDE, SIDE)))
    assert predicted is not None
    assert predicted[0][0].item() == pytest.approx(x + 3 * speed)


def test_backwards_time_runs_from_the_prompt_down() -> None:
    policy = Motion()
    moving_right(policy, range(11, 5, -1), direction=-1)
    assert policy.state is not None
    speed, x = policy.state[0][4].item(), policy.state[0][0].item()
    assert speed < -0.5  # as the pass sees it, the object goes left
    predicted = policy._predicted(Visit(4, 4, -1, size=(SIDE, SIDE)))
    assert predicted is not None
    assert predicted[0][0].item() == pytest.approx(x + 2 * speed)


@pytest.mark.parametrize("time", [20, 12, 36])
def test_a_step_back_or_a_long_gap_starts_the_filter_anew(time: int) -> None:
    policy, track = followed(20)
    assert policy._predicted(track.at(time)) is None
    track.visit(time, Answer((FAR, FAR, FAR)))
    assert state_of(policy)[:4] == [14, 14, 1, 4]
    assert policy.stable == 1


def test_presence_has_its_own_threshold() -> None:
    _, track = followed(3)
    assert chosen(track, 4, (NEAR,) * 3, (0.9, 0.1, 0.1), score=-0.5).present
    assert not chosen(track, 4, (NEAR,) * 3, (0.9, 0.1, 0.1), score=-1.0).present


def test_unqualified_frames_are_passed_over_and_slots_go_by_rank() -> None:
    track = ScriptedTrack(Motion())
    track.prompt(0)
    unsure = Answer(((4, 4, 10, 10),) * 3, (0.5, 0.1, 0.1))  # 0.5 itself does not qualify
    doubtful = Answer(((4, 4, 10, 10),) * 3, score=0.0)  # nor does a score of 0
    answers = dict.fromkeys(range(1, 20), STILL) | {15: unsure, 17: doubtful, 18: unsure, 19: unsure}
    track.run(range(1, 20), answers)
    plan = track.read(20)[0]
    # Qualified: 16, 14, 13, 12, 11; and 19, the newest, all the same.
    assert track.slots(plan) == [(0, 6), (11, 5), (12, 4), (13, 3), (14, 2), (16, 1), (19, 0)]
    # Pointers are SAM 2's, good frames or bad.
    assert [distance for _, distance in track.pointers(plan)] == [20, *range(1, 16)]


def test_a_long_absence_does_not_push_good_frames_out() -> None:
    _, track = followed(10)
    track.run(range(11, 200), dict.fromkeys(range(11, 200), GONE))
    plan = track.read(200)[0]
    assert track.slots(plan) == [(0, 6), (6, 5), (7, 4), (8, 3), (9, 2), (10, 1), (199, 0)]


def test_a_frame_whose_motion_score_is_zero_does_not_qualify() -> None:
    _, track = followed(20)
    track.visit(21, Answer((FAR, FAR, FAR)))  # certain, but not where it was expected
    track.visit(22, STILL)
    assert 21 not in dict(track.slots(track.read(23)[0]))
    _, lenient = followed(20, memory_min_motion=-1.0)
    lenient.visit(21, Answer((FAR, FAR, FAR)))
    lenient.visit(22, STILL)
    assert dict(lenient.slots(lenient.read(23)[0]))[21] == 1


@pytest.mark.parametrize(
    ("mode", "second", "third"), [("corrected", {1: 0}, {1: 1, 2: 0}), ("faithful", {1: 0}, {2: 0})]
)
def test_frame_one_qualifies_unless_faithful(mode: Any, second: dict[int, int], third: dict[int, int]) -> None:
    _, track = followed(1, mode=mode)
    assert dict(track.slots(track.read(2)[0])) == {0: 6} | second  # as the newest it is read once
    track.visit(2, STILL)
    assert dict(track.slots(track.read(3)[0])) == {0: 6} | third


def test_slots_by_distance_leave_unqualified_frames_out() -> None:
    _, track = followed(10, slots="distance")
    track.visit(11, BAD)
    track.visit(12, STILL)
    assert track.slots(track.read(13)[0]) == [(0, 6), (7, 5), (8, 4), (9, 3), (10, 2), (12, 0)]


@pytest.mark.parametrize("direction", [1, -1])
def test_neutral_knobs_make_it_recent(direction: Literal[1, -1]) -> None:
    motion, recent = (ScriptedTrack(policy, direction=direction) for policy in (Motion(**NEUTRAL), Recent()))
    answers = [STILL, BAD, GONE, Answer(), Answer((FAR, NEAR, FAR), (0.1, 0.0, 0.3), -0.5)]
    times = [time for time in range(80) if time % 17 != 3][::direction]
    for time in times:
        for track in (motion, recent):
            if time in (0, 21, 40, 79):
                track.prompt(time)
        assert motion.read(time) == recent.read(time)
        answer = answers[time % 5]
        offered = [Candidates(drawn(answer.boxes), answer.iou, answer.score)]
        assert motion.policy.choose(motion.at(time), offered) == recent.policy.choose(recent.at(time), offered)
        if time not in (0, 21, 40, 79):
            assert motion.visit(time, answer) == recent.visit(time, answer)
    assert motion.policy.live() == recent.policy.live()


def test_memory_is_bounded() -> None:
    policy = Motion()
    track = ScriptedTrack(policy)
    track.prompt(0)
    track.prompt(700)
    answers = [STILL, STILL, Answer(), BAD, GONE, Answer((FAR, NEAR, FAR))]
    for time in range(1, 5000):
        if time != 700:
            track.visit(time, answers[(time // 40) % 6])
        assert len(policy.live()) <= 2 + 15 + 15
    assert (len(policy.tracked), len(policy.qualified), len(policy.prompted)) == (15, 15, 2)
    assert policy.state is not None
    assert [tensor.shape for tensor in policy.state] == [torch.Size([8]), torch.Size([8, 8])]


@pytest.mark.parametrize(
    "knobs",
    [{"mode": "odd"}, {"window": 7}, {"motion_weight": 2}, {"stable_frames": 0}, {"slots": "?"}, {"max_prompted": 1}],
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        Motion(**knobs)
