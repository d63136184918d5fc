"""One clip is learned by heart with every loss switched on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.datasets import Clip
from trocar.frames import ArraySource
from trocar.memory import DiveMem
from trocar.model import Network, tiny_random
from trocar.promptable import score_tracking
from trocar.prompts import tight_box
from trocar.track.features import to_network_input
from trocar.track.session import Session
from trocar.train.ambiguity import Ambiguity
from trocar.train.clips import Sample
from trocar.train.equipment import equipped_network
from trocar.train.lesson import lesson_of
from trocar.train.optimise import Optimiser, learning_rate
from trocar.train.plan import PlanSettings, draw_plan
from trocar.train.planned_memory import MemorySettings
from trocar.train.recipe import Corrections, LossWeights, PromptMix, Recipe, Stage
from trocar.train.semantic import Semantic
from trocar.train.steps import clip_losses

FRAMES, SIDE = 10, 64
CLASSES = {1: "grasper", 2: "needle"}
EVERYTHING = Recipe(
    plan=PlanSettings("mixed", 6, initial=2),
    memory=MemorySettings(2, future_pointers=True),
    corrections=Corrections(2, initial=True, least=0, most=2, after_masks=False, from_truth=0.1),
    ambiguity=Ambiguity(on=True),
    semantic=Semantic(on=True, names=("grasper", "scissors", "needle"), encoder="stand-in"),
    losses=LossWeights(20, 1, 1, 1, 0.1, focal_gamma=2.0, focal_alpha=0.25, reduction="sum"),
    prompts=PromptMix(mask=0.4, tight_boxes=0.3),
    stages=(Stage(boxes=0.7),),
)


def clip() -> Clip:
    """A bright square moves to the right; a dark one stays, goes away and comes back."""
    rng = np.random.default_rng(0)
    labels = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    for frame in range(FRAMES):
        labels[frame, 8:28, 4 + 4 * frame : 24 + 4 * frame] = 1
        if frame not in (5, 6):
            labels[frame, 36:60, 20:44] = 2
    images: NDArray[np.uint8] = rng.integers(100, 130, (FRAMES, SIDE, SIDE, 3)).astype(np.uint8)
    images[labels == 1] += 100
    images[labels == 2] -= 80
    return Clip("squares", images, labels, CLASSES)


def samples(shown: Clip, count: int, rng: np.random.Generator) -> list[Sample]:
    drawn = []
    while len(drawn) < count:
        plan = draw_plan(EVERYTHING.plan, FRAMES, True, rng)
        labels = torch.from_numpy(shown.labels[list(plan.frames)])
        seen = [number for number in CLASSES if any((labels[place] == number).any() for place in plan.prompted)]
        masks = torch.stack([labels == number for number in seen])
        images = torch.stack([to_network_input(shown.images[frame], SIDE) for frame in plan.frames])
        names = tuple(CLASSES[number] for number in seen)
        drawn.append(Sample(images, masks, torch.ones_like(masks[0]), names, plan))
    return drawn


def learned(steps: int, shown: Clip, batch: int) -> tuple[Network, list[dict[str, float]]]:
    """A network trained on one clip alone, drawn `batch` times a step, and its losses."""
    torch.manual_seed(0)
    network, rng = equipped_network(tiny_random(), EVERYTHING).train(), np.random.default_rng(0)
    settings, history = Optimiser(learning_rate=1e-3, warmup_steps=10), []
    optimiser = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = learning_rate(settings, step, step / steps)
        lesson = lesson_of(EVERYTHING, EVERYTHING.stages[0], step % 2)
        losses = clip_losses(network, samples(shown, batch, rng), lesson, rng)
        history.append({name: float(value.detach()) for name, value in losses.items()})
        del losses["reached"]
        assert set(losses) == {"pixel", "dice", "iou", "presence", "semantic"}
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    return network.eval(), history


def test_every_loss_falls() -> None:
    _, history = learned(18, clip(), 1)
    for name in ("pixel", "semantic", "presence"):
        first, last = (np.mean([losses[name] for losses in part]) for part in (history[:6], history[-6:]))
        assert last < 0.8 * first, name


@pytest.mark.slow
def test_one_clip_is_learned_by_heart() -> None:
    shown = clip()
    network, _ = learned(400, shown, 2)
    score = score_tracking(network, [shown], lambda: DiveMem(min_iou=0.5, buffer=2))
    assert score.j_and_f > 0.97
    session = Session(network, ArraySource(shown.images), DiveMem(min_iou=0.5, buffer=2))
    for number in CLASSES:
        session.add(tight_box(shown.labels[0] == number), object_id=number)
    for masks in list(session.propagate())[1:]:
        for number, chances in masks.classes.items():
            assert max(chances, key=chances.__getitem__) == CLASSES[number]
    session.close()
