"""Thirteen traces worked out by hand from the published rules: a scripted decoder answers, the plans are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
import torch

from trocar.frames import ArraySource
from trocar.load import load_memory
from trocar.memory import POLICIES
from trocar.memory.scripted import Answer, ScriptedTrack
from trocar.model import Network, tiny_random
from trocar.prompts import Box, Point
from trocar.track.session import Session

OWN, FAR = (4, 4, 10, 10), (12, 12, 16, 16)
CALM = Answer((OWN, OWN, OWN))
GONE = Answer((None, None, None), (0.2, 0.1, 0.1), -5.0)


@dataclass(frozen=True)
class Trace:
    """What is read on frame `at` after a prompt and the tracked frames in between.

    Args:
        number: of the trace.
        policy: its name, `knobs` what differs from its defaults.
        prompt: the prompted frame.
        at: the frame that is read for; before `prompt` in a pass that runs back.
        slots: time -> slot of all that is read; slots from 7 on are long-term.
        pointers: time -> distance; None where the trace does not tell.
        answers: of the decoder, by frame.
    """

    number: int
    policy: str
    prompt: int
    at: int
    slots: Mapping[int, int]
    pointers: Mapping[int, float] | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[int, Answer] = field(default_factory=dict)


def spells(usual: Answer, other: Answer, frames: range, until: int) -> dict[int, Answer]:
    """`other` on some frames, `usual` on the rest up to `until`."""
    return dict.fromkeys(range(until), usual) | dict.fromkeys(frames, other)


def surely(iou: float) -> Answer:
    return Answer((OWN, OWN, OWN), (iou, 0.1, 0.1))


DISTRACTED = spells(CALM, Answer((OWN, FAR, OWN)), range(30, 60), 60)
STREAK = spells(surely(0.5), surely(0.96), range(1, 6), 60)
NO_STREAK = spells(surely(0.5), surely(0.95), range(1, 6), 60)
AWAY = spells(CALM, GONE, range(10, 41), 60)

TRACES = [
    Trace(1, "recent", 0, 3, {0: 6, 1: 1, 2: 0}, {0: 3, 1: 2, 2: 1}),
    Trace(
        2,
        "recent",
        0,
        20,
        {0: 6, 14: 5, 15: 4, 16: 3, 17: 2, 18: 1, 19: 0},
        {0: 20} | {time: 20 - time for time in range(5, 20)},
    ),
    Trace(3, "recent", 0, 23, {0: 6, 5: 4, 10: 3, 15: 2, 20: 1, 22: 0}, knobs={"stride": 5}),
    Trace(4, "recent", 20, 15, {20: 6, 19: 3, 18: 2, 17: 1, 16: 0}, {20: 5, 19: 4, 18: 3, 17: 2, 16: 1}),
    Trace(7, "tree", 0, 41, {0: 6, 5: 5, 6: 4, 7: 3, 8: 2, 9: 1, 40: 0}, answers=AWAY),
    # Frame 30 takes a place of RAM only once it is in DRM: RAM has the newest frame and the multiples of five.
    Trace(10, "distractor", 0, 31, {0: 6, 5: 5, 10: 4, 15: 3, 20: 2, 25: 1, 30: 0}, answers=DISTRACTED),
    Trace(10, "distractor", 0, 32, {0: 6, 30: 6, 10: 4, 15: 3, 20: 2, 25: 1, 31: 0}, answers=DISTRACTED),
    Trace(10, "distractor", 0, 37, {0: 6, 30: 6, 15: 4, 20: 3, 25: 2, 35: 1, 36: 0}, answers=DISTRACTED),
    Trace(10, "distractor", 0, 38, {0: 6, 30: 6, 36: 6, 20: 3, 25: 2, 35: 1, 37: 0}, answers=DISTRACTED),
    Trace(11, "divemem", 0, 20, {0: 6, 14: 5, 15: 4, 16: 3, 17: 2, 18: 1, 19: 0}, answers=NO_STREAK),
]


def track_of(policy: str, prompt: int = 0, direction: Literal[1, -1] = 1, **knobs: Any) -> ScriptedTrack:
    track = ScriptedTrack(load_memory(policy, **knobs), direction=direction)
    track.prompt(prompt)
    return track


@pytest.mark.parametrize("trace", TRACES, ids=lambda one: f"{one.number}-{one.policy}-at-{one.at}")
def test_trace(trace: Trace) -> None:
    direction: Literal[1, -1] = 1 if trace.at > trace.prompt else -1
    track = track_of(trace.policy, trace.prompt, direction, **trace.knobs)
    plans = track.run(range(trace.prompt + direction, trace.at + direction, direction), trace.answers)
    assert len(plans) == 1
    found = track.slots(plans[0])
    assert dict(found) == trace.slots
    assert len(found) == len(trace.slots)
    if trace.pointers is not None:
        assert dict(track.pointers(plans[0])) == trace.pointers


def test_5_pruning_equal_memories_leaves_five_with_the_slots_they_had() -> None:
    equal = torch.ones(4, 2, 2)
    track = ScriptedTrack(load_memory("pruned"), spatial=lambda time: equal)
    track.prompt(0)
    left = dict(track.slots(track.run(range(1, 21))[0]))
    assert len(left) == 5
    assert (left[0], left[19]) == (6, 0)
    assert all(slot == 19 - time for time, slot in left.items() if time)


def test_6_a_tree_that_is_certain_has_one_path_and_equals_recent_when_it_reads_likewise() -> None:
    likewise = {"min_iou": None, "gain_low": 1.0, "gain_high": 1.0, "slots": "distance", "pointer_code": "distance"}
    recent, same, other = track_of("recent"), track_of("tree", **likewise), track_of("tree")
    for time in range(1, 30):
        expected = recent.visit(time)
        assert same.visit(time) == expected
        found = other.visit(time)
        assert len(found) == 1
    assert found != expected


def test_8_motion_outweighs_predicted_iou_once_it_was_stable() -> None:
    """0.25 * 0 + 0.75 * 0.80 = 0.60 against 0.25 * 1 + 0.75 * 0.75 = 0.81, after 15 frames on which nothing moved."""
    chosen = {}
    for weight in (0.25, 0.0):
        track = track_of("motion", motion_weight=weight)
        track.run(range(1, 17), dict.fromkeys(range(1, 17), CALM))
        track.visit(17, Answer((FAR, OWN), (0.80, 0.75)))
        chosen[weight] = max(track.entries.values(), key=lambda entry: entry.time)
    assert (chosen[0.25].box, chosen[0.0].box) == (OWN, FAR)
    assert math.isclose(chosen[0.25].tags["motion"], 1.0, abs_tol=0.05)


def test_9_motion_of_one_object_or_session_is_not_another_s() -> None:
    moving = {time: Answer([(time % 10, 4, time % 10 + 6, 10)] * 3, (0.8, 0.7, 0.6)) for time in range(1, 40)}
    still = dict.fromkeys(range(1, 40), Answer((OWN, FAR, OWN), (0.8, 0.79, 0.6)))
    alone = []
    for answers in (moving, still):
        track = track_of("motion")
        alone.append([(track.visit(time, answers[time]), dict(vars(track.policy))["stable"]) for time in range(1, 40)])
    pair = [track_of("motion"), track_of("motion")]
    together: list[list[Any]] = [[], []]
    for time in range(1, 40):
        for track, answers, seen in zip(pair, (moving, still), together, strict=True):
            seen.append((track.visit(time, answers[time]), dict(vars(track.policy))["stable"]))
    assert together == alone


def test_10_nothing_is_promoted_within_five_frames_of_a_promotion() -> None:
    track = track_of("distractor")
    resolving: set[int] = set()
    for time in range(1, 45):
        plan = track.visit(time, DISTRACTED[time])[0]
        resolving |= {at for at, slot in track.slots(plan) if slot == 6 and at}
    assert resolving == {30, 36, 42}


def test_11_a_streak_promotes_exactly_one_of_its_frames() -> None:
    track = track_of("divemem")
    plans = [track.visit(time, STREAK[time])[0] for time in range(1, 40)]
    promoted = [{at for at, slot in track.slots(plan) if slot is not None and slot > 6} for plan in plans]
    assert promoted[:5] == [set()] * 5
    assert len(promoted[5]) == 1
    assert promoted[5] < {1, 2, 3, 4, 5}
    assert promoted[5:] == promoted[5:6] * 34


@pytest.mark.parametrize(
    ("degrees", "iou", "members"),
    [
        (180, 0.75, {0, 1, 2}),  # unlike 0 deg, to which 20 deg is most alike, but 0.75 is not above 0.9 - 0.1
        (180, 0.85, {0, 2, 3}),  # the same, good enough: it takes 20 degrees' place
        (30, 0.99, {0, 1, 2}),  # least alike 90 deg: cos 60 = 0.50; 20 deg is most alike that: cos 70 = 0.34 < 0.50
        (10, 0.99, {0, 2, 3}),  # least alike 90 deg: cos 80 = 0.17 < 0.34, so it takes 20 degrees' place
    ],
)
def test_12_the_released_bank_of_three_vectors(degrees: int, iou: float, members: set[int]) -> None:
    """Memories at 0, 20 and 90 degrees with predicted IoU 1, 0.9 and 0.9, and a newcomer."""

    def vector(time: int) -> torch.Tensor:
        angle = math.radians((0, 20, 90, degrees, 0)[time])
        return torch.tensor([math.cos(angle), math.sin(angle)]).view(2, 1, 1)

    bank = load_memory("self_sorting", variant="released-2d", mode="faithful", bank=3, sampling="all")
    track = ScriptedTrack(bank, spatial=vector)
    track.prompt(0)
    track.run(range(1, 4), {1: surely(0.9), 2: surely(0.9), 3: surely(iou)})
    assert {at for at, _ in track.slots(track.read(4)[0])} == members


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_13_prompts_late_corrections_reverse_and_removal_raise_nothing(name: str) -> None:
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 255, (136, 40, 56, 3), dtype=np.uint8)
    session = Session(Network(tiny_random()), ArraySource(images), load_memory(name))
    session.add(Box(5, 5, 30, 30), frame=100)
    session.add(Box(20, 5, 50, 30), frame=127, object_id=2)
    assert [masks.frame for masks in session.propagate(start=122, stop=131)] == list(range(122, 132))
    session.add(Point(30, 30), frame=130)
    session.remove(2)
    assert [masks.frame for masks in session.propagate(start=130)] == list(range(130, 136))
    backward = list(session.propagate("backward", stop=118))
    assert [masks.frame for masks in backward] == list(range(130, 117, -1))
    assert all(set(masks.masks) == {1} for masks in backward)
    session.close()
