"""The memory of training clips, against traces worked out by hand and against the policies that track."""

from __future__ import annotations

import pytest

from trocar.memory import DiveMem, Recent
from trocar.memory.scripted import ScriptedTrack
from trocar.train.planned_memory import MemorySettings, PlannedMemory


def test_without_long_term_frames_it_is_recent() -> None:
    planned, recent = ScriptedTrack(PlannedMemory()), ScriptedTrack(Recent())
    for track in (planned, recent):
        track.prompt(0)
        track.prompt(12)
    for time in range(1, 30):
        if time == 12:
            continue
        one, other = planned.visit(time)[0], recent.visit(time)[0]
        assert planned.slots(one) == recent.slots(other)
        assert planned.pointers(one) == recent.pointers(other)


def test_long_term_frames_are_read_between_prompted_and_recent_ones() -> None:
    """A DiveMem clip: frame 30 prompted, 5 and 70 long-term, then 40 to 44."""
    track = ScriptedTrack(PlannedMemory(frozenset({5, 70})))
    track.prompt(30)
    assert track.slots(track.visit(5)[0]) == [(30, 6)]
    assert track.slots(track.visit(70)[0]) == [(30, 6), (5, 7)]
    assert track.slots(track.visit(40)[0]) == [(30, 6), (5, 7), (70, 7)]
    assert track.slots(track.visit(41)[0]) == [(30, 6), (5, 7), (70, 7), (40, 0)]
    plan = track.visit(42)[0]
    assert track.slots(plan) == [(30, 6), (5, 7), (70, 7), (40, 1), (41, 0)]
    assert track.pointers(plan) == [(30, 12), (41, 1), (40, 2)]


def test_slots_may_be_ranked_and_long_term_frames_may_give_pointers() -> None:
    settings = MemorySettings(2, slots="ranked", long_term_pointers=True)
    track = ScriptedTrack(PlannedMemory(frozenset({5, 70}), settings))
    track.prompt(30)
    track.run([5, 70])
    plan = track.read(40)[0]
    assert track.slots(plan) == [(30, 6), (5, 8), (70, 7)]
    assert track.pointers(plan) == [(30, 10), (5, 35), (70, -30)]


def test_a_coming_prompt_is_read_and_gives_a_pointer_only_if_asked_for() -> None:
    for settings, pointers in ((MemorySettings(), [(0, 2), (1, 1)]), (MemorySettings(future_pointers=True), None)):
        track = ScriptedTrack(PlannedMemory(settings=settings))
        track.prompt(0)
        track.prompt(5)
        track.visit(1)
        plan = track.read(2)[0]
        assert track.slots(plan) == [(0, 6), (5, 6), (1, 0)]
        assert track.pointers(plan) == (pointers or [(5, -3), (0, 2), (1, 1)])


@pytest.mark.parametrize("slots", ["shared", "ranked"])
def test_it_reads_the_codes_that_divemem_reads(slots: str) -> None:
    """What DiveMem made long-term while tracking has the same slots here, planned."""
    found = DiveMem(min_iou=-1.0, slots=slots)  # type: ignore[arg-type]
    tracker = ScriptedTrack(found)
    tracker.prompt(0)
    tracker.run(range(1, 12))
    first, second = found.long_term
    planned = ScriptedTrack(PlannedMemory(frozenset({first, second}), MemorySettings(2, slots=slots)))  # type: ignore[arg-type]
    planned.prompt(0)
    planned.run([first, second])
    long_term = [pair for pair in planned.slots(planned.read(40)[0]) if pair[1] is not None and pair[1] > 6]
    assert long_term == [pair for pair in tracker.slots(tracker.read(40)[0]) if pair[1] is not None and pair[1] > 6]


def test_a_correction_takes_a_tracked_frames_place() -> None:
    track = ScriptedTrack(PlannedMemory())
    track.prompt(0)
    track.run([1, 2])
    track.prompt(2)
    assert track.slots(track.read(3)[0]) == [(0, 6), (2, 6), (1, 1)]
