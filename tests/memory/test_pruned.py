"""Surgical SAM 2's frame pruning against traces worked out by hand from the rules of its two generations."""

from __future__ import annotations

import pytest
import torch
from varied_run import varied_run

from trocar.memory import Pruned, Recent
from trocar.memory.scripted import Answer, ScriptedTrack

ABSENT = Answer(iou=(0.2, 0.1, 0.1), score=-1.0)


def tracked(policy: Pruned, prompts: list[int], times: range, unlike: dict[int, float]) -> ScriptedTrack:
    """Prompt, then track `times`, under spatial memories (1, x) in a single cell; x is 0 where not said."""
    track = ScriptedTrack(policy, spatial=lambda time: torch.tensor([1.0, unlike.get(time, 0.0)]).reshape(2, 1, 1))
    for time in prompts:
        track.prompt(time)
    track.run(times)
    return track


@pytest.mark.parametrize("generation", ["2024-12", "2025"])
@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_equal_memories_leave_five_and_the_oldest_of_the_equals_go(generation: str, mode: str) -> None:
    """Golden trace 5. Prompt and newest survive; of 4 to 8, all equal, the first two in the list go: 4 and 5."""
    track = tracked(Pruned(mode=mode, generation=generation), [0], range(1, 10), {})  # type: ignore[arg-type]
    plan = track.read(10)[0]
    assert track.slots(plan) == [(0, 6), (6, 3), (7, 2), (8, 1), (9, 0)]
    assert track.pointers(plan) == [(0, 10), *((10 - steps, steps) for steps in range(1, 10))]


def test_those_most_like_the_newest_go_and_the_others_keep_their_slots() -> None:
    # The newest, 9, is (1, 0). 5 and 8 are the most like it, 0 is even more so but protected.
    unlike = {4: 0.9, 5: 0.1, 6: 0.8, 7: 0.7, 8: 0.2}
    track = tracked(Pruned(), [0], range(1, 10), unlike)
    assert track.slots(track.read(10)[0]) == [(0, 6), (4, 5), (6, 3), (7, 2), (9, 0)]


def test_what_was_left_out_may_be_read_on_the_next_frame() -> None:
    unlike = {4: 0.9, 5: 0.1, 6: 0.8, 7: 0.7, 8: 0.2, 10: 0.15}
    track = tracked(Pruned(), [0], range(1, 11), unlike)
    # Of 5 to 9, against 10's 0.15: 5 and 8 are 0.05 off, 9 is 0.15, 7 and 6 more. In angles the same order.
    assert track.slots(track.read(11)[0]) == [(0, 6), (6, 4), (7, 3), (9, 1), (10, 0)]
    unlike[10] = 2.0  # now 9, 5 and 8 are the least like it, and 6 and 7 the most
    track = tracked(Pruned(), [0], range(1, 11), unlike)
    assert track.slots(track.read(11)[0]) == [(0, 6), (5, 5), (8, 2), (9, 1), (10, 0)]


def test_similarity_is_that_of_the_channels_of_each_cell() -> None:
    """Two cells. The newest has (1, 0), (1, 0), and one more is to go.

    1: (100, 0), (1, 0).   cells (1 + 1) / 2 = 1    as one vector 101 / sqrt(2 * 10001) = 0.71
    2: (1, 0.3), (1, 0.3). cells 0.96               as one vector 0.96
    """
    cells = {0: [(0, 1), (0, 1)], 1: [(100, 0), (1, 0)], 2: [(1, 0.3), (1, 0.3)], 3: [(1, 0), (1, 0)]}
    track = ScriptedTrack(
        Pruned(window=3, prune=1), spatial=lambda time: torch.tensor(cells[time]).float().T.reshape(2, 1, 2)
    )
    track.prompt(0)
    track.run(range(1, 4))
    assert track.slots(track.read(4)[0]) == [(0, 6), (2, 1), (3, 0)]


@pytest.mark.parametrize(("generation", "read"), [("2024-12", [0, 1, 2, 3, 4, 5]), ("2025", [0, 2, 3, 4, 5])])
def test_generations_differ_before_the_list_is_full(generation: str, read: list[int]) -> None:
    """Six entries: 2024-12 waits for seven, 2025 leaves five, so one goes."""
    track = tracked(Pruned(generation=generation), [0], range(1, 6), {})  # type: ignore[arg-type]
    assert [time for time, _ in track.slots(track.read(6)[0])] == read


@pytest.mark.parametrize("generation", ["2024-12", "2025"])
@pytest.mark.parametrize("times", [range(1, 1), range(1, 2), range(1, 5)])
def test_up_to_five_entries_stay(generation: str, times: range) -> None:
    track = tracked(Pruned(generation=generation), [0], times, {})  # type: ignore[arg-type]
    assert [time for time, _ in track.slots(track.read(times.stop)[0])] == [0, *times]


@pytest.mark.parametrize(
    ("mode", "generation", "read"),
    [
        # Nine entries: 0, 1, 2 prompted, 14 to 19 tracked, all equal. 2024-12 drops two, 2025 four.
        ("faithful", "2024-12", [0, 14, 15, 16, 17, 18, 19]),
        ("faithful", "2025", [0, 16, 17, 18, 19]),
        ("corrected", "2024-12", [0, 1, 2, 16, 17, 18, 19]),
        ("corrected", "2025", [0, 1, 2, 18, 19]),
    ],
)
def test_corrections_are_protected_unless_faithful(mode: str, generation: str, read: list[int]) -> None:
    track = tracked(Pruned(mode=mode, generation=generation), [0, 1, 2], range(3, 20), {})  # type: ignore[arg-type]
    assert [time for time, _ in track.slots(track.read(20)[0])] == read


def test_prompts_alone_are_all_read_though_there_are_too_many() -> None:
    track = tracked(Pruned(), list(range(9)), range(9, 11), {})
    assert [time for time, _ in track.slots(track.read(11)[0])] == [*range(9), 10]
    assert [time for time, _ in track.slots(track.read(30)[0])] == list(range(9))


def test_a_prompt_that_a_limit_leaves_to_the_window_is_protected_too() -> None:
    track = tracked(Pruned(max_prompted=2), [0, 5, 40], range(1, 1), {})
    track.run([1, 2, 3, 4, 6, 7])
    # 5 and 40 are the nearest prompts; 0 is out of the window on frame 8, in it on frame 6.
    assert track.slots(track.read(8)[0]) == [(5, 6), (40, 6), (4, 3), (6, 1), (7, 0)]
    early = tracked(Pruned(max_prompted=2), [1, 5, 40], range(1, 1), {})
    early.run([2, 3, 4, 6])
    # 5 and 40 share slot 6; 1 is six frames away. Six entries, of which 2 is the first that may go.
    assert early.slots(early.read(7)[0]) == [(5, 6), (40, 6), (1, 5), (4, 2), (6, 0)]


def test_backward_is_the_mirror_image() -> None:
    unlike = {4: 0.9, 5: 0.1, 6: 0.8, 7: 0.7, 8: 0.2}
    track = ScriptedTrack(
        Pruned(), spatial=lambda time: torch.tensor([1.0, unlike.get(20 - time, 0.0)]).reshape(2, 1, 1), direction=-1
    )
    track.prompt(20)
    track.run(range(19, 10, -1))
    assert track.slots(track.read(10)[0]) == [(20, 6), (16, 5), (14, 3), (13, 2), (11, 0)]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("generation", ["2024-12", "2025"])
def test_pruning_nothing_it_is_recent(direction: int, generation: str) -> None:
    own = {"max_prompted": 3, "stride": 2}
    neutral = Pruned(generation=generation, prune=0, **own)  # type: ignore[arg-type]
    turns = (direction, None, ABSENT)
    assert varied_run(neutral, *turns) == varied_run(Recent(**own), *turns)  # type: ignore[arg-type]
    pruning = Pruned(generation=generation, **own)  # type: ignore[arg-type]
    assert varied_run(pruning, *turns) != varied_run(Recent(**own), *turns)  # type: ignore[arg-type]


def test_memory_is_bounded_by_prompts_and_fifteen_frames() -> None:
    track = ScriptedTrack(Pruned())
    track.prompt(0)
    for time in range(1, 5000):
        plan = track.visit(time)[0]
        assert len(plan.spatial) <= 5
        assert len(track.policy.live()) <= 1 + 15
    assert sum(len(value) for value in vars(track.policy).values() if isinstance(value, dict)) == 1 + 15


@pytest.mark.parametrize(
    "knobs", [{"mode": "odd"}, {"window": 7}, {"max_prompted": 1}, {"generation": "2023"}, {"prune": -1}]
)
def test_impossible_knobs_are_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        Pruned(**knobs)  # type: ignore[arg-type]
