"""SAM 2's window against traces worked out by hand from the published rules."""

import numpy as np
import pytest
import torch

from trocar.memory import NoMemory, Recent
from trocar.memory.seam import Candidates, FrameView, MemoryEntry, ReadPlan, Record, Visit


def entry(time: int, role: str = "tracked") -> MemoryEntry:
    """An entry whose id is its time, so that a plan can be read as frame numbers."""
    nothing = torch.zeros(1)
    return MemoryEntry(time, time, role, nothing, nothing, nothing, 0.9, 5.0, True, 1, (0, 0, 1, 1))  # type: ignore[arg-type]


def view() -> FrameView:
    return FrameView(torch.zeros(1, 1, 1), {}, np.random.default_rng(0))


def run(policy: Recent, prompts: list[int], times: range, length: int | None = 100) -> ReadPlan:
    """Tell the prompts, track `times` but for the last, and read at the last."""
    direction = 1 if times.step > 0 else -1
    for prompt in prompts:
        policy.write(Visit(prompt, prompt, direction, length), [Record(entry(prompt, "prompted"))])
    for time in times[:-1]:
        if time not in prompts:
            policy.write(Visit(time, time, direction, length), [Record(entry(time))])
    last = times[-1]
    return policy.read(Visit(last, last, direction, length), view())[0]


def slots(plan: ReadPlan) -> dict[int, int | None]:
    return {item.entry: item.slot for item in plan.spatial}


def test_third_frame_reads_the_prompt_and_two_frames() -> None:
    plan = run(Recent(), [0], range(4))
    assert slots(plan) == {0: 6, 2: 0, 1: 1}
    assert [(item.entry, item.distance) for item in plan.pointers] == [(0, 3), (2, 1), (1, 2)]


def test_twentieth_frame_reads_six_frames_and_fifteen_pointers() -> None:
    plan = run(Recent(), [0], range(21))
    assert slots(plan) == {0: 6, 14: 5, 15: 4, 16: 3, 17: 2, 18: 1, 19: 0}
    assert [item.entry for item in plan.spatial] == [0, 14, 15, 16, 17, 18, 19]
    assert {item.entry for item in plan.pointers} == {0, *range(5, 20)}
    assert all(item.normaliser == 15 for item in plan.pointers)


def test_stride_five_keeps_the_newest_and_the_multiples_of_five() -> None:
    assert slots(run(Recent(stride=5), [0], range(24))) == {0: 6, 22: 0, 20: 1, 15: 2, 10: 3, 5: 4}


def test_reverse_mirrors_the_window() -> None:
    plan = run(Recent(), [20], range(20, 14, -1))
    assert slots(plan) == {20: 6, 16: 0, 17: 1, 18: 2, 19: 3}
    assert {item.entry: item.distance for item in plan.pointers} == {20: 5, 16: 1, 17: 2, 18: 3, 19: 4}


def test_reverse_with_stride_takes_multiples_above() -> None:
    # t = 17 back from 40: the newest is 18, then ceil((17 + 2) / 5) * 5 = 20, 25, 30, 35; 40 is the prompt.
    assert slots(run(Recent(stride=5), [40], range(40, 16, -1))) == {40: 6, 18: 0, 20: 1, 25: 2, 30: 3, 35: 4}


def test_missing_frames_leave_their_slots_unused() -> None:
    policy = Recent()
    policy.write(Visit(0, 0), [Record(entry(0, "prompted"))])
    for time in (1, 2, 5):
        policy.write(Visit(time, time), [Record(entry(time))])
    assert slots(policy.read(Visit(7, 7), view())[0]) == {0: 6, 5: 1, 2: 4, 1: 5}


def test_a_prompt_ahead_is_read_but_gives_no_pointer() -> None:
    plan = run(Recent(), [0, 50], range(11))
    assert slots(plan)[50] == 6
    assert 50 not in {item.entry for item in plan.pointers}


def test_a_limit_takes_the_nearest_before_the_nearest_after_and_then_by_distance() -> None:
    plan = run(Recent(max_prompted=3), [0, 10, 20, 40, 60], range(20, 31))
    assert {entry for entry, slot in slots(plan).items() if slot == 6} == {20, 40, 10}


def test_an_unselected_prompt_in_the_window_counts_as_recent() -> None:
    plan = run(Recent(max_prompted=2), [27, 28, 29, 40], range(29, 31))
    assert slots(plan)[29] == 6
    assert slots(plan)[40] == 6
    assert slots(plan)[28] == 1
    assert slots(plan)[27] == 2


def test_pointer_code_depends_on_a_short_length_only_when_faithful() -> None:
    faithful, corrected = (run(Recent(mode=mode), [0], range(4), length=8) for mode in ("faithful", "corrected"))
    assert {item.normaliser for item in faithful.pointers} == {7}
    assert {item.normaliser for item in corrected.pointers} == {15}
    unknown = run(Recent(), [0], range(4), length=None)
    assert unknown == corrected


def test_memory_is_bounded_by_prompts_and_fifteen_frames() -> None:
    policy = Recent()
    run(policy, [0], range(1000))
    assert policy.live() == {0, *range(984, 999)}


def test_a_new_answer_to_a_prompt_takes_the_old_ones_place() -> None:
    policy = Recent()
    run(policy, [0], range(4))
    second = MemoryEntry(77, 2, "prompted", None, torch.zeros(1), torch.zeros(1), 1.0, 9.0, True, 0, None)
    policy.write(Visit(2, 2), [Record(second)])
    assert policy.live() == {0, 1, 77}


def test_choice_is_the_largest_predicted_iou_and_presence_its_score() -> None:
    offered = Candidates(torch.zeros(3, 2, 2), [0.2, 0.9, 0.4], -0.1)
    choice = Recent().choose(Visit(1, 1), [offered])[0]
    assert (choice.candidate, choice.present) == (1, False)


@pytest.mark.parametrize("options", [{"mode": "odd"}, {"window": 9}, {"stride": 0}, {"max_prompted": 1}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Recent(**options)  # type: ignore[arg-type]


def test_no_memory_reads_and_keeps_nothing() -> None:
    policy = NoMemory()
    assert policy.read(Visit(3, 3), view()) == [ReadPlan()]
    policy.write(Visit(3, 3), [Record(entry(3))])
    assert policy.live() == set()
