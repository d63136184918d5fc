"""What a run draws comes as often as its recipe says, over ten thousand draws: within five standard deviations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from test_clip_steps import DIVEMEM, SAM2_CLICKS, lesson, network, sample

from trocar.train.lesson import correction, draw_corrections
from trocar.train.plan import ClipPlan
from trocar.train.prompts import EMPTY
from trocar.train.recipe import Corrections, PromptMix, Recipe, Stage
from trocar.train.steps import _objects, _places_to_correct
from trocar.train.trainer import Part, Trainer

DRAWS = 10_000
IN_A_ROW = ClipPlan(tuple(range(8)))
TWO_PROMPTED = ClipPlan(tuple(range(8)), (0, 4))


def near(count: int, share: float, draws: int = DRAWS) -> bool:
    return abs(count - share * draws) <= 5 * np.sqrt(draws * share * (1 - share))


def test_steps_on_images_and_on_clips(tmp_path: Path) -> None:
    """SAM2S' images : videos 1 : 4 is a clip_share of 0.8. Each step draws its kind for itself."""
    share = 0.8
    recipe = Recipe(model="tiny-random", stages=(Stage(clip_share=share),))
    trainer = Trainer(recipe, lambda rng: pytest.fail("no sample is needed"), tmp_path)
    trainer._draw_part = lambda step, shape, samples, parts, number: Part(number, [], 1.0)  # type: ignore[method-assign]
    kinds = np.array([trainer.prepare(step, 0.0).clips for step in range(DRAWS)])
    assert near(int(kinds.sum()), share)
    after_clips = kinds[1:][kinds[:-1]]
    assert near(int(after_clips.sum()), share, len(after_clips)), "whatever came before"


def test_masks_boxes_and_clicks_of_sam2() -> None:
    """Mask 0.5, box 0.25, click 0.25; an object that is shown by its mask is so on each of its prompted frames."""
    net, rng, taught = network(), np.random.default_rng(0), lesson(prompts=PromptMix(mask=0.5), boxes=0.5)
    kinds: Counter[str] = Counter()
    together: Counter[tuple[str, ...]] = Counter()
    shown = [sample(TWO_PROMPTED)] * 10
    for _ in range(DRAWS // 20):
        for one in _objects(net, shown, taught, rng):
            said = tuple(
                "mask" if prompt.mask is not None else "box" if len(prompt.labels) == 2 else "click"
                for prompt in one.first.values()
            )
            kinds[said[0]] += 1
            together[said] += 1
    assert sum(kinds.values()) == DRAWS
    assert near(kinds["mask"], 0.5)
    assert near(kinds["box"], 0.25)
    assert near(kinds["click"], 0.25)
    assert near(together["mask", "mask"], 0.5)
    for one in ("box", "click"):
        for other in ("box", "click"):
            assert near(together[one, other], 0.125), "drawn anew for each frame"


def places(clicks: Corrections, plan: ClipPlan, mask: float) -> Counter[tuple[int, ...]]:
    rng, taught = np.random.default_rng(0), lesson(1, clicks=clicks, prompts=PromptMix(mask=mask))
    objects = _objects(network(), [sample(plan)], taught, rng)
    found: Counter[tuple[int, ...]] = Counter()
    for _ in range(DRAWS):
        chosen = _places_to_correct(objects, taught, rng)
        assert len(set(chosen.values())) <= 1, "the same for all objects"
        found[next(iter(chosen.values()), ())] += 1
    return found


@pytest.mark.parametrize("plan", [IN_A_ROW, DIVEMEM])
def test_sam2_corrects_one_frame_more_in_half_of_the_clips(plan: ClipPlan) -> None:
    """Between the initial frames and two: with one initial frame, another of the seven half of the time."""
    found = places(SAM2_CLICKS, plan, 0.0)
    assert near(found[()], 0.5)
    assert set(found) == {(), *((place,) for place in range(7))}
    assert all(near(found[(place,)], 1 / 14) for place in range(7))


def test_sam2_corrects_no_further_frame_after_two_prompts_and_none_after_masks() -> None:
    assert places(SAM2_CLICKS, TWO_PROMPTED, 0.0) == {(): DRAWS}
    assert places(SAM2_CLICKS, IN_A_ROW, 1.0) == {(): DRAWS}


def test_nano_corrects_one_tracked_frame_and_a_range_is_drawn_evenly() -> None:
    found = places(Corrections(), IN_A_ROW, 0.0)
    assert all(near(found[(place,)], 1 / 7) for place in range(7))
    lengths: Counter[int] = Counter()
    for chosen, count in places(Corrections(least=1, most=3), IN_A_ROW, 0.0).items():
        lengths[len(chosen)] += count
    assert lengths[0] == 0
    assert all(near(lengths[size], 1 / 3) for size in (1, 2, 3))


def test_a_tenth_of_the_correction_clicks_shows_the_object() -> None:
    """Where the answer is right, only these are given."""
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:9, 4:12] = True
    truth, right = (mask, torch.ones_like(mask)), torch.where(mask, 9.0, -9.0)
    taught, rng = lesson(1, clicks=SAM2_CLICKS), np.random.default_rng(0)
    better = [correction(EMPTY, truth, right, taught, rng) for _ in range(DRAWS)]
    given = [one for one in better if one is not None]
    assert near(len(given), 0.1)
    assert all(one.labels.tolist() == [1] and bool(mask[tuple(one.points[0].long().flip(0))]) for one in given)


def test_corrections_come_as_often_as_a_stage_says() -> None:
    rng, stage = np.random.default_rng(0), Stage(corrections=2, clip_corrections=0.25)
    rounds = Counter(draw_corrections(stage, False, rng) for _ in range(DRAWS))
    assert all(near(rounds[count], 1 / 3) for count in range(3))
    assert near(sum(draw_corrections(stage, True, rng) for _ in range(DRAWS)), 0.25)
    assert {draw_corrections(Stage(corrections=7, least_corrections=7), False, rng) for _ in range(100)} == {7}
