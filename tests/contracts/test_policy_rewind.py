"""Nothing that was taken back, run again or left aside may leave a trace: edits, undo, resuming, other sessions."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exam import COLUMNS, ROWS, NotedTrack, Sitting, Watched, assert_same, corrected, eventful, every, pictures

from trocar.prompts import Box, MaskPrompt, Point

Maker = Callable[..., Watched]
FRAMES = 20
FIRST, SECOND = Box(5, 5, 25, 23), Box(30, 18, 50, 38)


def exact_mask() -> MaskPrompt:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[20:36, 24:50] = True
    return MaskPrompt(mask)


@every
def test_a_run_is_the_same_each_time_and_from_the_middle(make: Maker, sitting: Sitting) -> None:
    first, second = make(sitting.policy()), make(sitting.policy())
    for session in (first, second):
        session.add(FIRST)
    once = list(first.propagate())
    list(second.propagate())
    assert_same(first.logits, second.logits)
    second.logits.clear()
    again = list(second.propagate(start=13))
    assert_same(first.logits, second.logits, start=13)
    assert [masks.frame for masks in again] == list(range(13, FRAMES))
    assert all(np.array_equal(a.masks[1], b.masks[1]) for a, b in zip(once[13:], again, strict=True))


@corrected
def test_an_edit_and_what_follows_equal_a_session_that_never_went_beyond(make: Maker, sitting: Sitting) -> None:
    went_on, stopped = make(sitting.policy()), make(sitting.policy())
    for session, stop in ((went_on, None), (stopped, 13)):
        session.add(FIRST)
        list(session.propagate(stop=stop))
        session.add(Point(40, 30), frame=13)
        session.logits.clear()
        list(session.propagate(start=13))
    assert_same(went_on.logits, stopped.logits, start=13)


@corrected
def test_undo_leaves_no_trace(make: Maker, sitting: Sitting) -> None:
    session = make(sitting.policy())
    session.add(FIRST)
    list(session.propagate())
    before = dict(session.logits)
    session.add(exact_mask(), frame=11)
    list(session.propagate(start=11))
    assert any(not torch.equal(before[at], session.logits[at]) for at in before)
    frame = session.undo()
    list(session.propagate(start=frame))
    assert_same(before, session.logits)


@corrected
def test_a_resumed_run_equals_an_uninterrupted_one(make: Maker, sitting: Sitting, tmp_path: Path) -> None:
    """Through snapshots on disk, which are read back as plain data and tensors only."""
    whole, cut, resumed = (make(sitting.policy(), None, folder) for folder in (None, tmp_path, tmp_path))
    for session in (whole, cut, resumed):
        session.add(FIRST, frame=3)
        session.add(SECOND, frame=5, object_id=2)
    truth = {(masks.frame, name): mask for masks in whole.propagate("both") for name, mask in masks.masks.items()}
    run = cut.propagate("both")
    done = [next(run) for _ in range(14)]
    rest = list(resumed.propagate("both", resume=True))
    found = {(masks.frame, name): mask for masks in [*done, *rest] for name, mask in masks.masks.items()}
    assert found.keys() == truth.keys()
    assert all(np.array_equal(found[at], truth[at]) for at in truth)


def written(policy: object) -> Any:
    """A policy's state after a journey to disk."""
    file = io.BytesIO()
    torch.save(vars(policy), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@every
def test_state_survives_the_disk_and_copying(sitting: Sitting) -> None:
    """From the same state, written or copied, the same plans follow; the copy leaves the original alone."""
    answers = eventful(range(1, 80))
    track = NotedTrack(sitting.policy())
    track.prompt(0)
    track.run(range(1, 50), answers)
    restored = sitting.policy()
    vars(restored).update(written(track.policy))
    plans = []
    for policy in (restored, copy.deepcopy(track.policy), track.policy):
        other = NotedTrack(policy, entries=dict(track.entries), times=dict(track.times))
        plans.append([other.visit(time, answers[time]) for time in range(50, 80)])
        assert policy.live() <= other.entries.keys()
    assert plans[0] == plans[1] == plans[2]


@every
def test_sessions_in_one_process_leave_each_other_alone(make: Maker, sitting: Sitting) -> None:
    """One policy is given to two sessions that take turns; each does what it does alone, the policy stays as it was."""
    given, sources = sitting.policy(), [pictures(16, seed) for seed in (0, 1)]
    alone = [make(sitting.policy(), source) for source in sources]
    pair = [make(given, source) for source in sources]
    for session in (*alone, *pair):
        session.add(FIRST)
    for session in alone:
        list(session.propagate())
    runs = [session.propagate() for session in pair]
    for _ in zip(*runs, strict=True):
        pass
    for one, other in zip(alone, pair, strict=True):
        assert_same(one.logits, other.logits)
    assert plain(vars(given)) == plain(vars(sitting.policy()))


def plain(value: Any) -> Any:
    """With lists for tensors, so that it can be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


@corrected
def test_another_object_changes_no_logit(make: Maker, sitting: Sitting) -> None:
    alone, together = make(sitting.policy()), make(sitting.policy())
    for session in (alone, together):
        session.add(FIRST, frame=2)
    together.add(SECOND, frame=2, object_id=2)
    together.add(Box(10, 10, 40, 30), frame=6, object_id=3)
    for session in (alone, together):
        list(session.propagate("both"))
    assert len(alone.logits) == FRAMES
    assert max(float((logits - together.logits[at]).abs().max()) for at, logits in alone.logits.items()) < 1e-4


@every
def test_draws_depend_on_the_seed_alone(sitting: Sitting) -> None:
    """A policy that draws does so again for the same seed, however often it is asked, whatever torch's or NumPy's own
    streams are at."""
    runs = []
    for _ in range(2):
        torch.rand(3)
        np.random.rand(3)
        track = NotedTrack(sitting.policy(), seed=4)
        track.prompt(0)
        answers = eventful(range(1, 60))
        runs.append([track.visit(time, answers[time]) for time in range(1, 60)])
    assert runs[0] == runs[1]
