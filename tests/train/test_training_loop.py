"""Training lowers the loss, stops and goes on as if nothing had happened, and leaves whole files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.cli import main
from trocar.datasets.clip import Clip
from trocar.model.checkpoint import open_network
from trocar.train.checkpoint import LAST, read_checkpoint, write_checkpoint
from trocar.train.export import WEIGHTS
from trocar.train.loop import Batch, Trainer, build_network, learning_rate
from trocar.train.recipe import LossWeights, Optimiser, PromptMix, Recipe, Stage
from trocar.train.steps import Lesson, clip_losses, image_losses

STAGE = Stage(side=64, images=3, rows=2, boxes=0.8, corrections=1, clip_share=0.3, clip_side=64, clips=2, frames=3)
TOY = Recipe(model="tiny-random", steps=6, stages=(STAGE,), optimiser=Optimiser(warmup_steps=2), data={"scenes": 1.0})


def squares(rng: np.random.Generator) -> Clip:
    """A bright square that moves over a darker ground; gone in the last of four frames."""
    images = rng.integers(60, 100, (4, 64, 64, 3)).astype(np.uint8)
    labels = np.zeros((4, 64, 64), np.uint8)
    row, column, size = rng.integers(4, 30, 3)
    for frame in range(3):
        labels[frame, row : row + size, column + 2 * frame : column + 2 * frame + size] = 1
    images[labels == 1] += 120
    return Clip("squares", images, labels, {1: "square"})


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    stage = Stage(side=64, images=4, rows=2, boxes=1.0, corrections=0)
    recipe = Recipe(model="tiny-random", steps=30, stages=(stage,), optimiser=Optimiser(3e-3, warmup_steps=5))
    trainer = Trainer(recipe, squares, tmp_path)
    losses = []
    while trainer.step < recipe.steps:
        losses.append(trainer.learn(trainer.prepare(trainer.step))["total"])
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, workers: int) -> None:
    recipe = replace(TOY, workers=workers)
    whole = Trainer(recipe, squares, tmp_path / "whole")
    whole.run()
    half = Trainer(recipe, squares, tmp_path / "half")
    for _ in range(3):
        half.learn(half.prepare(half.step))
    write_checkpoint(tmp_path / "half" / LAST, half.checkpoint())
    rest = Trainer(recipe, squares, tmp_path / "half")
    rest.resume(tmp_path / "half" / LAST)
    rest.run()
    assert rest.step == whole.step == 6
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], rest.average[name]), name


def test_a_stopped_run_ends_after_its_step(tmp_path: Path) -> None:
    trainer = Trainer(TOY, squares, tmp_path)
    learn = trainer.learn

    def learn_twice(batch: Batch) -> dict[str, float]:
        trainer.stopping = trainer.step == 1
        return learn(batch)

    trainer.learn = learn_twice  # type: ignore[method-assign]
    trainer.run()
    assert read_checkpoint(tmp_path / LAST).step == trainer.step == 2


def test_workers_share_one_gradient(tmp_path: Path) -> None:
    """Two workers with half of the samples each give the mean of the two halves' gradients."""
    recipe = replace(TOY, workers=2, stages=(replace(STAGE, corrections=0, clip_share=0.0, images=2),))
    trainer = Trainer(recipe, squares, tmp_path)
    batch = trainer.prepare(0)
    assert len(batch.parts) == 2
    halves = []
    for part in range(2):
        trainer.network.zero_grad()
        trainer._gradients(batch, part)
        halves.append({name: p.grad.clone() for name, p in trainer.network.named_parameters() if p.grad is not None})
    trainer.network.zero_grad()
    list(trainer.threads.map(lambda part: trainer._gradients(batch, part), range(2)))
    for name, parameter in trainer.network.named_parameters():
        if parameter.grad is not None:
            expected = sum(half[name] for half in halves if name in half)
            assert torch.allclose(parameter.grad, expected, atol=1e-6), name


def lesson(**changes: float) -> Lesson:
    return Lesson(PromptMix(**changes), LossWeights(), boxes=0.5, corrections=2)


def samples(trainer: Trainer, clips: bool) -> list[object]:
    for step in range(50):
        batch = trainer.prepare(step)
        if batch.clips == clips:
            return list(batch.parts[0])
    raise AssertionError("no such batch in 50 draws")


def idle_parameters(trainer: Trainer) -> set[str]:
    """Names of the parameters that get no gradient from images, clips, and clips with a mask prompt."""
    rng = np.random.default_rng(0)
    total = torch.zeros(())
    for clips, losses in ((False, image_losses), (True, clip_losses)):
        for mask in (0.0, 1.0):
            parts = losses(trainer.network, samples(trainer, clips), lesson(mask=mask), rng)  # type: ignore[arg-type]
            parts.pop("reached")
            total = total + torch.stack(list(parts.values())).sum()
    total.backward()
    return {name for name, p in trainer.network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}


def test_every_part_of_the_network_learns(tmp_path: Path) -> None:
    # Only the best of three candidates learns its mask, and which one that is, is up to the first weights.
    runs = [Trainer(replace(TOY, seed=seed), squares, tmp_path / str(seed)) for seed in range(4)]
    idle = set.intersection(*(idle_parameters(trainer) for trainer in runs))
    # Slots of frames further back than these clips reach, the code of "no point" and the absent object's memory,
    # which only take part where the network itself judges an object absent.
    assert not {name for name in idle if "absent" not in name}, idle


def test_warm_up_then_cosine() -> None:
    settings = Optimiser(learning_rate=1.0, final_share=0.1, warmup_steps=10)
    assert learning_rate(settings, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate(settings, 100, 0.0) == pytest.approx(1.0)
    assert learning_rate(settings, 100, 0.5) == pytest.approx(0.55)
    assert learning_rate(settings, 100, 1.0) == pytest.approx(0.1)


def test_fresh_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(123)
    first = build_network(TOY).state_dict()
    torch.manual_seed(456)
    assert all(torch.equal(value, first[name]) for name, value in build_network(TOY).state_dict().items())
    with pytest.raises(ValueError, match="'giant' cannot be trained"):
        build_network(Recipe(model="giant"))


RECIPE = """
model = "tiny-random"
steps = 20
scenes = 2
[data]
scenes = 1.0
[[stages]]
side = 64
images = 2
rows = 2
"""


def test_the_command_renders_trains_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "toy.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    folders = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(["train", str(recipe), *folders]) == 0
    assert read_checkpoint(tmp_path / "out" / LAST).step == 20
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20]
    assert 0 <= lines[0]["reached"] <= 1
    assert not list((tmp_path / "out").glob("*.part"))
    shipped, average = open_network(tmp_path / "out" / WEIGHTS), read_checkpoint(tmp_path / "out" / LAST).average
    for name, value in shipped.state_dict().items():
        assert torch.equal(value, average[name].half().float()), name
    recipe.write_text(RECIPE.replace("20", "22"), encoding="utf-8")
    assert main(["train", str(recipe), *folders, "--resume"]) == 0
    assert main(["train", str(recipe), *folders, "--export", str(tmp_path / "weights.safetensors")]) == 0
    later = Trainer(TOY, squares, tmp_path / "later")
    later.start_from(tmp_path / "weights.safetensors")
    assert torch.equal(later.network.absent_pointer, open_network(tmp_path / "weights.safetensors").absent_pointer)
    assert read_checkpoint(tmp_path / "out" / LAST).step == 22
    assert main(["train", str(tmp_path / "none.toml"), *folders]) == 2
    assert "none.toml is not a file" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no run to go on with"):
        read_checkpoint(tmp_path / LAST)
    (tmp_path / LAST).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a training checkpoint"):
        read_checkpoint(tmp_path / LAST)
