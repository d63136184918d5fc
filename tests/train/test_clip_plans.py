"""Plans of clips: each kind shows what its paper says, as often as it says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from trocar.train.plan import ClipPlan, PlanSettings, UnfitCase, draw_plan

DRAWS = 10_000


def steps(frames: tuple[int, ...]) -> list[int]:
    return [after - before for before, after in pairwise(frames)]


def draws(settings: PlanSettings, length: int, count: int = DRAWS) -> list[ClipPlan]:
    rng = np.random.default_rng(0)
    return [draw_plan(settings, length, True, rng) for _ in range(count)]


def test_divemem_shows_three_frames_from_anywhere_and_five_that_follow_one_another() -> None:
    length = 40
    plans = draws(PlanSettings("divemem", 8, reversed_share=0.5), length)
    starts = np.zeros(length)
    anywhere = np.zeros((3, length))
    for plan in plans:
        assert plan.prompted == (0,)
        assert plan.long_term == (1, 2)
        assert len(set(plan.frames)) == 8
        assert set(steps(plan.frames[3:])) in ({1}, {-1})
        assert plan.times == plan.frames
        assert plan.direction == steps(plan.frames[3:])[0]
        starts[min(plan.frames[3:])] += 1
        for place in range(3):
            anywhere[place, plan.frames[place]] += 1
    # The run begins anywhere with equal chance: 36 places, each 278 +- 16.4 times (5 standard deviations allowed).
    expected = DRAWS / 36
    assert (starts[36:] == 0).all()
    assert np.abs(starts[:36] - expected).max() < 5 * np.sqrt(expected)
    # A frame is outside the run of 5 with a chance that falls towards the middle; then all 35 have the same.
    inside = np.array([min(i, 4, length - 1 - i, 35) + 1 if 0 <= i < length else 0 for i in range(length)]) / 36
    for place in range(3):
        wanted = DRAWS * (1 - inside) / 35
        assert np.abs(anywhere[place] - wanted).max() < 5 * np.sqrt(wanted.max())
    backwards = np.mean([plan.direction == -1 for plan in plans])
    assert backwards == pytest.approx(0.5, abs=0.025)


def test_the_prompted_frame_of_divemem_comes_before_or_after_the_run_with_equal_chance() -> None:
    plans = draws(PlanSettings("divemem", 8), 60)
    assert np.mean([plan.frames[0] < plan.frames[3] for plan in plans]) == pytest.approx(0.5, abs=0.025)


def test_sam2_shows_eight_frames_in_a_row_with_one_or_two_prompted() -> None:
    plans = draws(PlanSettings("sam2", 8, reversed_share=0.3, initial=2), 20)
    second = np.zeros(8)
    for plan in plans:
        assert set(steps(plan.frames)) in ({1}, {-1})
        assert plan.times == tuple(range(8)), "time runs with the clip, whichever way that is"
        assert plan.direction == 1
        assert plan.long_term == ()
        assert plan.prompted[0] == 0
        assert len(plan.prompted) in (1, 2)
        if len(plan.prompted) == 2:
            second[plan.prompted[1]] += 1
    assert np.mean([plan.frames[0] > plan.frames[1] for plan in plans]) == pytest.approx(0.3, abs=0.025)
    assert second.sum() / DRAWS == pytest.approx(0.5, abs=0.025)
    assert second[0] == 0
    assert np.abs(second[1:] - DRAWS / 14).max() < 5 * np.sqrt(DRAWS / 14)
    starts = np.bincount([min(plan.frames) for plan in plans], minlength=13)
    assert len(starts) == 13
    assert np.abs(starts - DRAWS / 13).max() < 5 * np.sqrt(DRAWS / 13)


def test_mixed_clips_are_half_of_each_kind() -> None:
    plans = draws(PlanSettings("mixed", 8), 30)
    assert np.mean([bool(plan.long_term) for plan in plans]) == pytest.approx(0.5, abs=0.025)
    few = draws(PlanSettings("mixed", 8, divemem_share=0.1), 30)
    assert np.mean([bool(plan.long_term) for plan in few]) == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("kind", ["sam2", "divemem", "mixed"])
def test_a_case_that_does_not_fit_is_named(kind: str) -> None:
    settings = PlanSettings(kind, 8)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    assert settings.least_frames == 8
    assert len(draw_plan(settings, 8, True, rng).frames) == 8
    with pytest.raises(UnfitCase, match="it has 7 frames where a clip takes 8"):
        draw_plan(settings, 7, True, rng)
    with pytest.raises(UnfitCase, match="no order"):
        draw_plan(settings, 100, False, rng)


def test_spread_clips_run_at_one_stride_and_turn_at_the_ends_or_are_cut_or_still() -> None:
    kinds = {"still": 0, "run": 0, "cut": 0}
    for plan in draws(PlanSettings("spread", 7), 6, 2000):
        assert len(plan.frames) == 7
        assert 0 <= min(plan.frames) <= max(plan.frames) < 6
        assert plan.times == tuple(range(7))
        assert plan.prompted == (0,)
        kinds["still" if plan.still else "run" if set(map(abs, steps(plan.frames))) == {1} else "cut"] += 1
    assert kinds["still"] / 2000 == pytest.approx(0.2, abs=0.04)
    assert kinds["cut"] / 2000 == pytest.approx(0.8 * 0.4, abs=0.05)
    wide = [steps(plan.frames) for plan in draws(PlanSettings("spread", 3), 60, 1000)]
    assert {1, 2, 3, 4, 5} <= {abs(one) for one, other in wide if one == other}


def test_an_image_set_gives_one_image_again_and_again_and_images_stand_alone() -> None:
    rng = np.random.default_rng(0)
    assert draw_plan(PlanSettings("spread", 3), 50, False, rng).still
    alone = draw_plan(PlanSettings("mixed", frames=1), 2, False, rng)
    assert len(alone.frames) == 1
    assert not alone.still


def test_a_stage_decides_how_long_spread_clips_are_and_a_kind_its_own() -> None:
    rng = np.random.default_rng(0)
    assert {PlanSettings("spread").for_step(6, rng).frames for _ in range(100)} == {3, 4, 5, 6}
    assert PlanSettings("spread").for_step(2, rng).frames == 2
    assert {PlanSettings("sam2", 8).for_step(6, rng).frames for _ in range(20)} == {8}


@pytest.mark.parametrize(("kind", "frames", "initial"), [("sam2", 4, 5), ("sam2", 0, 1), ("divemem", 4, 1)])
def test_impossible_plans_are_refused(kind: str, frames: int, initial: int) -> None:
    with pytest.raises(ValueError, match=r"a (DiveMem )?clip has"):
        PlanSettings(kind, frames, initial=initial)  # type: ignore[arg-type]
