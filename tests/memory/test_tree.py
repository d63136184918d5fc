"""What SAM2Long reads and keeps, rule by rule and by hand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from forked import SURE, Forked, branched, said, tree

from trocar.memory import Recent, Tree
from trocar.memory.scripted import Answer, drawn
from trocar.memory.seam import Candidates, Choice, ReadPlan, Record

ABSENT = Answer((None, None, None), (0.9, 0.8, 0.7), -5.0)
Direction = Literal[1, -1]


def test_slots_and_pointers_by_rank_over_an_absence() -> None:
    """Golden trace 7: gone from 10 to 40; on 41 the last five frames before 10 and frame 40 are read."""
    track = tree()
    track.run(range(1, 41), dict.fromkeys(range(10, 41), ABSENT))
    plan = track.read(41)[0]
    assert track.slots(plan) == [(0, 6), (5, 5), (6, 4), (7, 3), (8, 2), (9, 1), (40, 0)]
    # By rank: 40 is the first, 9 the second, ... 1 the tenth. The prompt's distance is the true one.
    assert track.pointers(plan) == [(0, 41), (40, 1), *((time, 11 - time) for time in range(9, 0, -1))]
    assert {item.normaliser for item in plan.pointers} == {15}
    # A frame later 40 is no longer the newest, and gone for good; 41 was good.
    track.visit(41)
    assert [time for time, _ in track.slots(track.read(42)[0])] == [0, 5, 6, 7, 8, 9, 41]


def test_a_frame_qualifies_by_an_iou_above_the_threshold() -> None:
    track = tree()
    track.run(range(1, 5), {2: said(5, 0.3, 0.1, 0.1), 3: said(5, 0.31, 0.1, 0.1), 4: said(5, 0.2, 0.1, 0.1)})
    # Frame 2 has just the threshold; frame 4 less, but it is the newest.
    assert track.slots(track.read(5)[0]) == [(0, 6), (1, 2), (3, 1), (4, 0)]


def test_without_a_threshold_every_frame_qualifies() -> None:
    track = tree(min_iou=None)
    track.run(range(1, 5), {2: said(5, 0.01, 0.0, 0.0), 3: ABSENT})
    assert [time for time, _ in track.slots(track.read(5)[0])] == [0, 1, 2, 3, 4]


def test_each_path_has_its_own_window() -> None:
    """The paths with IoU 0.9 and 0.5 on frame 2 may read it; for the third, with 0.2, it counts only while newest."""
    track = tree()
    track.step(1, SURE)
    track.step(2, said(1.0, 0.9, 0.5, 0.2))
    assert [[time for time, _ in track.slots(plan)] for plan in track.read(3)] == [[0, 1, 2]] * 3
    # All three go on: -0.105, -0.588 - 0.105 and -1.504 - 0.051.
    track.step(3, said(3, 0.9, 0.01, 0.01), said(3, 0.9, 0.01, 0.01), said(3, 0.95, 0.01, 0.01))
    plans = track.read(4)
    assert [[time for time, _ in track.slots(plan)] for plan in plans] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 3]]
    entries = [{track.times[item.entry]: item.entry for item in plan.spatial} for plan in plans]
    assert entries[0][0] == entries[1][0] == entries[2][0]
    assert entries[0][1] == entries[1][1] == entries[2][1]
    assert len({one[3] for one in entries}) == 3
    assert entries[0][2] != entries[1][2]


def test_pointers_of_all_frames_found_but_in_the_release_of_the_oldest() -> None:
    corrected, faithful = tree(), tree(mode="faithful")
    for track in (corrected, faithful):
        track.run(range(1, 5))
    assert corrected.pointers(corrected.read(5)[0]) == [(0, 5), (4, 1), (3, 2), (2, 3), (1, 4)]
    assert faithful.pointers(faithful.read(5)[0]) == [(0, 5), (4, 1), (3, 2), (2, 3)]
    assert faithful.slots(faithful.read(5)[0]) == [(0, 6), (1, 3), (2, 2), (3, 1), (4, 0)]


@pytest.mark.parametrize(("mode", "count"), [("corrected", 15), ("faithful", 14)])
def test_fifteen_frames_are_found_and_the_newest_beside_them(mode: str, count: int) -> None:
    track = tree(mode=mode)
    track.run(range(1, 31))
    # 30 back to 16 are the fifteen.
    assert [time for time, _ in track.pointers(track.read(31)[0])] == [0, *range(30, 30 - count, -1)]
    track.visit(31, ABSENT)
    # 31 is a sixteenth, 30 to 16 the fifteen that qualify; ranks end at 15 in any case.
    assert [time for time, _ in track.pointers(track.read(32)[0])] == [0, *range(31, 16, -1)]


def test_pointer_codes_depend_on_a_short_length_only_when_faithful() -> None:
    found = {}
    for mode in ("corrected", "faithful"):
        track = Forked(Tree(mode=mode), length=8)  # type: ignore[arg-type]
        track.prompt(0)
        track.run(range(1, 6))
        found[mode] = {item.normaliser for item in track.read(6)[0].pointers}
    assert found == {"corrected": {15}, "faithful": {7}}


def gains(track: Forked, plan: ReadPlan) -> tuple[dict[int, float], dict[int, float]]:
    items = [{track.times[item.entry]: item.gain for item in part} for part in (plan.spatial, plan.pointers)]
    return items[0], items[1]


def test_keys_are_scaled_evenly_by_rank_of_object_score() -> None:
    track = tree()
    for time, score in ((1, 4.0), (2, 12.0), (3, 3.0), (4, 8.0)):
        track.visit(time, said(score, 0.9, 0.5, 0.4))
    # From low to high: frame 3, frame 1, frame 4, the prompt (10), frame 2.
    expected = {3: 0.95, 1: 0.975, 4: 1.0, 0: 1.025, 2: 1.05}
    spatial, pointers = gains(track, track.read(5)[0])
    assert spatial == pytest.approx(expected)
    assert pointers == pytest.approx(expected)


def test_pointers_are_ranked_among_themselves() -> None:
    """Nine pointers, seven spatial memories: scores rise with time, the prompt is the highest."""
    track = tree()
    for time in range(1, 9):
        track.visit(time, said(2 + time / 2, 0.9, 0.5, 0.4))
    spatial, pointers = gains(track, track.read(9)[0])
    assert spatial == pytest.approx({0: 1.05} | {time: 0.95 + 0.1 * (time - 3) / 6 for time in range(3, 9)})
    assert pointers == pytest.approx({0: 1.05} | {time: 0.95 + 0.1 * (time - 1) / 8 for time in range(1, 9)})


def test_a_prompt_alone_is_not_scaled() -> None:
    track = tree()
    track.prompt(30)
    spatial, pointers = gains(track, track.read(1)[0])
    assert spatial == {0: 1.0, 30: 1.0}
    assert pointers == {0: 1.0}


# Prompts anywhere, either direction, for ever


def test_a_correction_is_shared_by_all_paths_and_takes_their_frames_place() -> None:
    track = branched()
    track.prompt(3)
    plans = track.read(4)
    assert [[time for time, _ in track.slots(plan)] for plan in plans] == [[0, 3, 1, 2]] * 3
    assert len({plan.spatial[1].entry for plan in plans}) == 1
    assert len({plan.spatial[3].entry for plan in plans}) == 3
    # The prompt is the newest frame: a path whose own newest frame does not qualify has it no more.
    doubtful = tree()
    doubtful.run(range(1, 4), {3: ABSENT})
    assert doubtful.slots(doubtful.read(4)[0])[-1] == (3, 0)
    doubtful.prompt(4)
    assert doubtful.slots(doubtful.read(5)[0]) == [(0, 6), (4, 6), (1, 1), (2, 0)]
    # Told again, on a frame that was tracked.
    doubtful.prompt(2)
    assert doubtful.slots(doubtful.read(5)[0]) == [(0, 6), (4, 6), (2, 6), (1, 0)]


def test_a_prompt_ahead_is_read_but_gives_no_pointer_and_ends_nothing() -> None:
    track = tree()
    track.run(range(1, 3))
    track.policy.write(
        track.at(2), [Record(track._entry(9, "prompted", Candidates(drawn([None]), [1.0], 10.0), Choice(0, 0, True)))]
    )
    plan = track.read(3)[0]
    assert track.slots(plan) == [(0, 6), (9, 6), (1, 1), (2, 0)]
    assert track.pointers(plan) == [(0, 3), (2, 1), (1, 2)]


def test_under_a_limit_prompts_that_are_not_selected_count_as_frames() -> None:
    track = tree(max_prompted=2)
    track.run(range(1, 3))
    for time in (3, 4, 20):
        track.prompt(time)
    # Of 0, 3, 4 and 20 the nearest before 5 and the nearest from it on are selected.
    assert track.slots(track.read(5)[0]) == [(4, 6), (20, 6), (0, 3), (1, 2), (2, 1), (3, 0)]


def test_reverse_mirrors_what_is_read() -> None:
    track = Forked(Tree(), direction=-1)
    track.prompt(40)
    track.run(range(39, 34, -1), {37: ABSENT})
    plan = track.read(34)[0]
    assert track.slots(plan) == [(40, 6), (39, 3), (38, 2), (36, 1), (35, 0)]
    assert track.pointers(plan) == [(40, 6), (35, 1), (36, 2), (38, 3), (39, 4)]


def test_by_distance_frames_beyond_the_window_are_not_read() -> None:
    track = tree(slots="distance", pointer_code="distance")
    track.run(range(1, 9), dict.fromkeys((3, 5, 6), ABSENT))
    plan = track.read(9)[0]
    assert track.slots(plan) == [(0, 6), (4, 4), (7, 1), (8, 0)]
    assert track.pointers(plan) == [(0, 9), (8, 1), (7, 2), (4, 5), (2, 7), (1, 8)]


def test_storage_and_state_stay_bounded() -> None:
    nothing = torch.zeros(4, 1, 1)
    track = Forked(Tree(), lambda time: nothing, lambda time: nothing)
    track.prompt(0)
    rng = np.random.default_rng(0)
    sizes = []
    for time in range(1, 5001):
        paths = len(track.policy.paths) or 1  # type: ignore[attr-defined]
        track.step(time, *(said(float(rng.normal(0, 2)), *rng.uniform(0, 1, 3)) for _ in range(paths)))
        sizes.append(len(track.policy.live()))
    assert max(sizes) <= 1 + 3 * 16
    assert len(track.policy.paths) <= 3  # type: ignore[attr-defined]
    assert all(len(path["qualified"]) <= 15 and len(path["newest"]) == 1 for path in track.policy.paths)  # type: ignore[attr-defined]
    assert max(abs(path["score"]) for path in track.policy.paths) < 50  # type: ignore[attr-defined]


# Neutral, and knobs


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("max_prompted", [None, 2])
@pytest.mark.parametrize("prompts", [[0], [0, 12, 13, 33], [20, 39]])
def test_neutral_knobs_are_recent(direction: Direction, prompts: list[int], max_prompted: int | None) -> None:
    rng = np.random.default_rng(3)
    answers = {time: said(float(rng.normal(1, 2)), *rng.uniform(0, 1, 3)) for time in range(40)}
    likewise: dict[str, Any] = {"pathways": 1, "min_iou": None, "gain_low": 1.0, "gain_high": 1.0}
    likewise |= {"slots": "distance", "pointer_code": "distance"}
    policies = [Tree(max_prompted=max_prompted, **likewise), Recent(max_prompted=max_prompted)]
    tracks = [Forked(policy, direction=direction) for policy in policies]
    for time in range(40)[::direction]:
        if time in prompts:
            for track in tracks:
                track.prompt(time)
        elif any((time - prompt) * direction > 0 for prompt in prompts):
            assert tracks[0].read(time) == tracks[1].read(time)
            assert tracks[0].step(time, answers[time]) == tracks[1].step(time, answers[time])
    assert tracks[0].policy.live() == tracks[1].policy.live()


@pytest.mark.parametrize(("lag", "declared"), [(None, None), ("end", None), (12, 12), (0, 0)])
def test_the_lag_is_declared(lag: int | Literal["end"] | None, declared: int | None) -> None:
    assert Tree(lag=lag).spec.lag == declared


@pytest.mark.parametrize(
    "knobs",
    [
        {"mode": "odd"},
        {"pathways": 0},
        {"window": 7},
        {"max_pointers": 1},
        {"gain_low": 1.1},
        {"max_prompted": 1},
        {"lag": -1},
        {"lag": "start"},
        {"slots": "age"},
        {"pointer_code": "age"},
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        Tree(**knobs)  # type: ignore[arg-type]
