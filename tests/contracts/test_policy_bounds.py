"""Whatever happens in however long a video: memory stays bounded, and an absent object is found absent and again."""

from __future__ import annotations

from typing import Any

import torch
from exam import NotedTrack, Sitting, corrected, eventful, every

from trocar.memory.scripted import Answer, ScriptedTrack

PERIOD = 250  # of all that the policies are shown: what a policy lets grow, grows with each
WAVER = 5  # a long-term frame may or may not be a recent one too
ABSENT = Answer((None, None, None), (0.3, 0.2, 0.1), -5.0)


def extent(value: Any) -> int:
    """How many numbers and names a policy's state holds."""
    if isinstance(value, torch.Tensor):
        return value.numel()
    if isinstance(value, dict):
        return sum(1 + extent(one) for one in value.values())
    return sum(extent(one) for one in value) if isinstance(value, list | tuple | set) else 1


@every
def test_memory_does_not_grow_with_the_video(sitting: Sitting) -> None:
    maps = torch.randn(50, 8, 2, 2, generator=torch.Generator().manual_seed(0))
    answers = eventful(range(PERIOD))
    track = ScriptedTrack(sitting.policy(), lambda time: maps[time % 50], lambda time: maps[time % 25])
    track.prompt(0)
    live, states = [], []
    long = 1000 if sitting.knobs.get("mode") == "faithful" else 5000
    for time in range(1, long):
        track.visit(time, answers[time % PERIOD])
        live.append(len(track.policy.live()))
        states.append(extent(vars(track.policy)))
    assert max(live[long // 2 :]) <= max(live[: long // 2]) + WAVER
    assert max(states[long // 2 :]) <= max(states[: long // 2]) + 2 * WAVER
    assert max(live) <= 100


@corrected
def test_an_absent_object_is_absent_and_comes_back(sitting: Sitting) -> None:
    """Thirty frames there, two hundred gone, and back: the prompt is read throughout, presence follows the decoder."""
    track = NotedTrack(sitting.policy())
    track.prompt(0)
    track.run(range(1, 31))
    track.run(range(31, 231), dict.fromkeys(range(31, 231), ABSENT))
    plans = track.run(range(231, 235))
    assert not any(track.made[time][0].present for time in range(31, 231))
    assert not any(entry.logits.gt(0).any() for time in range(31, 231) for entry in track.made[time])
    if sitting.policy().spec.encode:  # else nothing is remembered, and nothing is found again
        assert all(track.made[time][0].present for time in (*range(1, 31), *range(231, 234)))
        assert all(0 in {track.times[item.entry] for item in plan.spatial} for plan in plans)


@corrected
def test_an_object_that_was_absent_when_prompted_is_found_later(sitting: Sitting) -> None:
    """A prompt may say that there is nothing (an empty mask); policies must not ask it for a box."""
    track = NotedTrack(sitting.policy())
    track.prompt(0, None)
    track.run(range(1, 12), dict.fromkeys(range(1, 12), ABSENT))
    track.prompt(12)
    track.run(range(13, 40))
    assert not track.made[5][0].present
