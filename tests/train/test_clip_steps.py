"""Training on clips: what is prompted, corrected, remembered and read, and that gradients flow through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from trocar.model import Network, tiny_random
from trocar.track.propagate import Outcome
from trocar.track.propagate import step as real_step
from trocar.track.rows import Task
from trocar.train import steps
from trocar.train.clips import Sample
from trocar.train.equipment import equipped_network
from trocar.train.lesson import Lesson
from trocar.train.plan import ClipPlan
from trocar.train.planned_memory import MemorySettings
from trocar.train.recipe import Corrections, LossWeights, PromptMix, Recipe
from trocar.train.semantic import Semantic
from trocar.train.steps import clip_losses

SIDE = 64
SAM2_CLICKS = Corrections(7, initial=True, least=0, most=2, after_masks=False, from_truth=0.1)
IN_A_ROW = ClipPlan(tuple(range(8)))
DIVEMEM = ClipPlan((30, 5, 70, 40, 41, 42, 43, 44), (0,), (1, 2))


def network(recipe: Recipe | None = None) -> Network:
    """A fresh network that takes every object to be there."""
    torch.manual_seed(0)
    made = equipped_network(tiny_random(), recipe or Recipe())
    torch.nn.init.constant_(made.mask_decoder.object_head.layers[-1].bias, 5.0)
    return made


def sample(plan: ClipPlan = IN_A_ROW, names: tuple[str, ...] = ("grasper", "liver"), seed: int = 0) -> Sample:
    """Noise with a bright square that moves and a dark one that is gone from the sixth frame on."""
    rng = torch.Generator().manual_seed(seed)
    frames = len(plan.frames)
    masks = torch.zeros(2, frames, SIDE, SIDE, dtype=torch.bool)
    for frame in range(frames):
        masks[0, frame, 10:30, 5 + 2 * frame : 25 + 2 * frame] = True
        masks[1, frame, 40:60, 30:50] = frame < 5
    bright = masks[0].float() - masks[1].float()
    images = 0.3 * torch.randn(frames, 3, SIDE, SIDE, generator=rng) + 2 * bright[:, None]
    return Sample(images, masks, torch.ones_like(masks[0]), names, plan)


def lesson(corrections: int = 0, **changes: object) -> Lesson:
    return replace(Lesson(PromptMix(mask=0.0), LossWeights(), 0.5, corrections), **changes)  # type: ignore[arg-type]


class Watched:
    """The real step, with what it is asked noted: (frame, object, kind of prompt, slots read) of each task."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, int, str, list[tuple[int, int | None]]]]] = []

    def __call__(self, network: Network, features: object, tasks: Sequence[Task], settings: object) -> list[Outcome]:
        self.calls.append([self._noted(task) for task in tasks])
        return real_step(network, features, tasks, settings)  # type: ignore[arg-type]

    def _noted(self, task: Task) -> tuple[int, int, str, list[tuple[int, int | None]]]:
        kind = "track"
        if task.prompt is not None:
            points = len(task.prompt.labels)
            kind = "mask" if task.prompt.mask is not None else f"{points} points"
            kind += " again" if task.prompt.previous is not None else ""
        if not task.use_memory:
            return task.visit.frame, task.track.object_id, kind, []
        entries = task.track.entries
        (plan,) = task.track.policy.read(task.visit, None)  # type: ignore[arg-type]
        read = [(entries[item.entry].time, item.slot) for item in plan.spatial]
        return task.visit.frame, task.track.object_id, kind, read


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watching = Watched()
    monkeypatch.setattr(steps, "step", watching)
    return watching


def test_prompted_frames_come_first_and_are_seen_from_before(watched: Watched) -> None:
    plan = ClipPlan(tuple(range(10, 18)), (0, 3))
    clip_losses(network(), [sample(plan)], lesson(boxes=1.0), np.random.default_rng(0))
    frames = [[one[:3] for one in call] for call in watched.calls]
    assert frames[0] == [(0, 0, "2 points"), (0, 1, "2 points")]
    assert frames[1] == [(3, 0, "2 points"), (3, 1, "2 points")]
    assert [call[0][0] for call in frames[2:]] == [1, 2, 4, 5, 6, 7]
    assert watched.calls[2][0][3] == [(0, 6), (3, 6)], "frame 3 is remembered when frame 1 is tracked"
    assert watched.calls[5][0][3] == [(0, 6), (3, 6), (1, 3), (2, 2), (4, 0)]


def test_clips_with_different_plans_go_together(watched: Watched) -> None:
    plans = [ClipPlan(tuple(range(8)), (0, 6)), DIVEMEM]
    samples = [sample(plan, seed=seed) for seed, plan in enumerate(plans)]
    clip_losses(network(Recipe(memory=MemorySettings(2))), samples, lesson(), np.random.default_rng(0))
    # The second object of the first clip is gone at its frame 6, which is therefore tracked.
    assert [[one[:2] for one in call] for call in watched.calls[:3]] == [
        [(0, 0), (0, 1), (0, 2), (0, 3)],
        [(6, 0)],
        [(1, 0), (1, 1), (1, 2), (1, 3)],
    ]
    last = {one[1]: one[0] for one in watched.calls[-1]}
    assert last == {1: 7, 2: 7, 3: 7}, "the others have one frame more to be tracked on"
    read = {one[1]: one[3] for one in watched.calls[7]}
    assert read[2] == [(30, 6), (5, 7), (70, 7), (40, 2), (41, 1), (42, 0)]


def test_an_object_that_shows_in_a_later_prompted_frame_only_is_prompted_there(watched: Watched) -> None:
    shown = sample(ClipPlan(tuple(range(8)), (0, 4)))
    shown.masks[1, :3] = False
    clip_losses(network(), [shown], lesson(boxes=1.0), np.random.default_rng(0))
    asked = [(frame, name) for call in watched.calls for frame, name, kind, _ in call if kind != "track"]
    assert asked == [(0, 0), (4, 1), (4, 0)]
    before = next(one for call in watched.calls for one in call if one[:2] == (0, 1))
    assert before[2:] == ("track", [(4, 6)])
    hidden = sample(ClipPlan(tuple(range(8)), (0,)))
    hidden.masks[1, 0] = False
    with pytest.raises(ValueError, match="shows in none of the prompted frames"):
        clip_losses(network(), [hidden], lesson(), np.random.default_rng(0))


def test_sam2_corrects_the_initial_frame_with_seven_clicks_and_at_times_another(watched: Watched) -> None:
    net, taught, further = network(), lesson(1, clicks=SAM2_CLICKS, boxes=0.0), 0
    for seed in range(12):
        watched.calls.clear()
        clip_losses(net, [sample()], taught, np.random.default_rng(seed))
        kinds = {(one[0], one[2]) for call in watched.calls for one in call}
        assert {(0, "1 points")} | {(0, f"{clicks} points again") for clicks in range(2, 9)} <= kinds
        corrected = {frame for frame, kind in kinds if "again" in kind}
        assert len(corrected) in (1, 2)
        further += len(corrected) == 2
        for frame in corrected - {0}:
            assert (frame, "1 points again") in kinds
            assert (frame, "7 points again") in kinds
    assert 0 < further < 12, "one more frame in half of the clips"


def test_objects_shown_by_their_mask_are_not_corrected_if_asked_so(watched: Watched) -> None:
    taught = lesson(1, clicks=replace(SAM2_CLICKS, least=1), prompts=PromptMix(mask=1.0))
    clip_losses(network(), [sample()], taught, np.random.default_rng(0))
    assert {one[2] for call in watched.calls for one in call} == {"mask", "track"}
    watched.calls.clear()
    clip_losses(network(), [sample()], lesson(1, prompts=PromptMix(mask=1.0)), np.random.default_rng(0))
    assert "1 points again" in {one[2] for call in watched.calls for one in call}


@pytest.mark.parametrize(("as_prompts", "slot"), [(True, 6), (False, 0)])
def test_corrected_frames_are_remembered_as_asked(watched: Watched, as_prompts: bool, slot: int) -> None:
    taught = lesson(1, clicks=Corrections(2, prompts=as_prompts))
    clip_losses(network(), [sample()], taught, np.random.default_rng(2))
    flat = [one for call in watched.calls for one in call]
    at = next(index for index, one in enumerate(flat) if "again" in one[2])
    frame, name, _, read = flat[at]
    assert 0 < frame < 7
    assert (frame, 6) not in read
    again = [one for one in flat if one[:2] == (frame, name) and "again" in one[2]]
    assert [one[2] for one in again] == ["1 points again", "2 points again"]
    assert all((frame, 6) not in one[3] for one in again), "no click reads the answer that it corrects"
    after = next(one for one in flat if one[:2] == (frame + 1, name))
    assert (frame, slot) in after[3]
    assert [time for time, _ in after[3]].count(frame) == 1


def test_masks_are_their_own_answer() -> None:
    shown = ClipPlan((0, 1), (0, 1))
    assert clip_losses(network(), [sample(shown)], lesson(prompts=PromptMix(mask=1.0)), np.random.default_rng(0)) == {}
    tracked = clip_losses(
        network(), [sample(ClipPlan((0, 1)))], lesson(prompts=PromptMix(mask=1.0)), np.random.default_rng(0)
    )
    assert set(tracked) == {"pixel", "dice", "iou", "presence", "reached"}


def test_sums_are_means_times_the_answers_of_an_object() -> None:
    net = network()
    means, sums = (
        clip_losses(net, [sample()], lesson(losses=LossWeights(reduction=way)), np.random.default_rng(0))  # type: ignore[arg-type]
        for way in ("mean", "sum")
    )
    for name in ("pixel", "dice", "iou", "presence"):
        assert sums[name].item() == pytest.approx(8 * means[name].item(), rel=1e-4)
    assert sums["reached"].item() == pytest.approx(means["reached"].item())


def test_only_instruments_learn_their_class() -> None:
    net = network(Recipe(semantic=Semantic(on=True, encoder="stand-in")))
    both, tissue = sample(), sample(names=("", "liver"))
    said = clip_losses(net, [both], lesson(), np.random.default_rng(0))["semantic"]
    assert said.item() > 0
    assert clip_losses(net, [tissue], lesson(), np.random.default_rng(0))["semantic"].item() == 0
    assert "semantic" not in clip_losses(network(), [both], lesson(), np.random.default_rng(0))
    said.backward()
    assert net.semantic_head is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.semantic_head.parameters())
    assert net.memory_encoder.out_projection.weight.grad is not None, "memory learns to hold what tells classes apart"


def test_long_term_codes_learn_from_divemem_clips_alone() -> None:
    net = network(Recipe(memory=MemorySettings(2, slots="ranked")))
    taught = lesson(memory=MemorySettings(2, slots="ranked"))
    for plan, learns in ((IN_A_ROW, False), (DIVEMEM, True)):
        net.zero_grad()
        losses = clip_losses(net, [sample(plan)], taught, np.random.default_rng(0))
        losses["pixel"].backward()
        codes = net.memory_attention.long_term_codes
        assert codes is not None
        grads = [0.0, 0.0] if codes.grad is None else codes.grad.abs().sum(1).tolist()
        assert [value > 0 for value in grads] == [learns, learns]


def directional(loss: Callable[[], Tensor], tensors: list[Tensor], size: float) -> tuple[float, float]:
    """The slope of a loss along a random direction: by its gradient, and by a central difference."""
    grads = torch.autograd.grad(loss(), tensors, allow_unused=True)
    rng = torch.Generator().manual_seed(3)
    ways = [torch.randn(one.shape, generator=rng, dtype=one.dtype) for one in tensors]
    by_gradient = sum(float((g * way).sum()) for g, way in zip(grads, ways, strict=True) if g is not None)
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for one, way in zip(tensors, ways, strict=True):
                one += sign * size * way
            values.append(float(loss()))
        for one, way in zip(tensors, ways, strict=True):
            one += size * way
    return by_gradient, (values[0] - values[1]) / (2 * size)


@pytest.mark.parametrize("plan", [IN_A_ROW, ClipPlan(tuple(range(8)), (0, 4)), DIVEMEM])
def test_gradients_through_eight_frames_of_memory_equal_finite_differences(plan: ClipPlan) -> None:
    """Only the last frame's mask is scored, so that what the first image changes in it came through memory."""
    net = network(Recipe(memory=MemorySettings(2))).double()
    shown = sample(plan)
    shown = replace(shown, images=shown.images.double())
    shown.masks[1, -1] = True  # somewhere, so that its mask is scored as well
    shown.valid[:-1] = False
    weights = LossWeights(20, 1, iou=0, presence=0, focal_gamma=2.0, focal_alpha=0.25, reduction="sum", stride_px=1)
    taught = lesson(losses=weights, memory=MemorySettings(2))
    first = torch.zeros(3, SIDE, SIDE, dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        images = torch.cat((shown.images[:1] + first, shown.images[1:]))
        found = clip_losses(net, [replace(shown, images=images)], taught, np.random.default_rng(5))
        return found["pixel"] + found["dice"]

    slope, difference = directional(loss, [first], 1e-6)
    assert abs(slope) > 1e-6
    assert slope == pytest.approx(difference, rel=1e-5)
    learned = [p for name, p in net.named_parameters() if "memory" in name or "pointer" in name]
    slope, difference = directional(loss, learned, 1e-8)
    assert slope == pytest.approx(difference, rel=1e-4)
