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
from trocar.load import load
from trocar.model.checkpoint import open_network
from trocar.train.checkpoint import LAST, read_checkpoint, write_checkpoint
from trocar.train.engine import Engine
from trocar.train.export import WEIGHTS
from trocar.train.lesson import Lesson
from trocar.train.optimise import Optimiser
from trocar.train.plan import PlanSettings
from trocar.train.recipe import LossWeights, PromptMix, Recipe, Stage
from trocar.train.start import build_network, first_network
from trocar.train.steps import clip_losses, image_losses
from trocar.train.trainer import Batch, Trainer

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
    rest.resume()
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


@pytest.mark.parametrize(("workers", "parts"), [(2, 2), (1, 3), (2, 3)])
def test_a_step_is_the_sum_of_its_parts(tmp_path: Path, workers: int, parts: int) -> None:
    """Whoever computes them: each part's gradient counts by its share of the samples, and the order is fixed."""
    stage = replace(STAGE, corrections=0, clip_share=0.0, images=4)
    recipe = replace(TOY, workers=workers, engine=Engine(parts=parts), stages=(stage,))
    trainer = Trainer(recipe, squares, tmp_path)
    batch = trainer.prepare(0)
    assert [len(part.samples) for part in batch.parts] == ([2, 2] if parts == 2 else [2, 1, 1])
    expected: dict[int, torch.Tensor] = {}
    for part in batch.parts:
        for place, gradient in enumerate(trainer._gradients(batch, part)[0]):
            if gradient is not None:
                expected[place] = expected[place] + gradient if place in expected else gradient
    whole = torch.cat([gradient.flatten().double() for gradient in expected.values()])
    norm = trainer.learn(batch)["norm"]
    assert norm == pytest.approx(float(whole.norm()), rel=1e-5)
    scale = min(1.0, recipe.optimiser.clip_norm / (norm + 1e-6))
    for place, gradient in expected.items():
        found = trainer.parameters[place].grad
        assert found is not None
        assert torch.allclose(found, gradient * scale, rtol=1e-4, atol=1e-7)
    unused = [p for place, p in enumerate(trainer.parameters) if place not in expected]
    assert unused
    assert all(p.grad is None for p in unused)


@pytest.mark.parametrize(("model", "clips"), [("tiny-random", False), ("tiny-random", True), ("tiny-sam", False)])
def test_recomputed_activations_give_the_same_gradients(tmp_path: Path, model: str, clips: bool) -> None:
    recipe = replace(TOY, model=model, stages=(replace(STAGE, clip_share=float(clips)),))
    kept = Trainer(recipe, squares, tmp_path / "kept")
    engine = Engine(recompute_image_encoder=True, recompute_memory_attention=True)
    again = Trainer(replace(recipe, engine=engine), squares, tmp_path / "again")
    assert list(kept.network.state_dict()) == list(again.network.state_dict())
    saved, found = [], []
    for trainer in (kept, again):
        saved.append(0)

        def count(tensor: torch.Tensor) -> torch.Tensor:
            saved[-1] += tensor.nbytes
            return tensor

        batch = trainer.prepare(0)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            found.append(trainer._gradients(batch, batch.parts[0])[0])
    for one, other in zip(*found, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
    assert saved[1] < 0.8 * saved[0]


def test_a_step_in_which_masks_show_everything_teaches_nothing(tmp_path: Path) -> None:
    """Clips of two frames, one or both of them prompted: where both are shown by masks there is nothing to answer."""
    recipe = replace(
        TOY,
        steps=8,
        engine=Engine(log_steps=1),
        plan=PlanSettings("sam2", frames=2, initial=2),
        prompts=PromptMix(mask=1.0),
        stages=(replace(STAGE, clip_share=1.0, clips=1, clip_corrections=0.0),),
    )
    trainer = Trainer(recipe, squares, tmp_path)
    changed: list[bool] = []
    learn = trainer.learn

    def watched(batch: Batch) -> dict[str, float]:
        before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
        figures = learn(batch)
        after = trainer.network.state_dict()
        changed.append(any(not torch.equal(value, after[name]) for name, value in before.items()))
        return figures

    trainer.learn = watched  # type: ignore[method-assign]
    trainer.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [("clip_pixel" in line, line["clip_norm"] > 0) for line in lines] == [(one, one) for one in changed]
    # There is no IoU to reach where the object is not on the frame that is answered.
    assert all("clip_pixel" in line for line in lines if "clip_reached" in line)
    assert any("clip_reached" in line for line in lines)
    assert set(changed) == {True, False}


def lesson(**changes: float) -> Lesson:
    return Lesson(PromptMix(**changes), LossWeights(), boxes=0.5, corrections=2)


def samples(trainer: Trainer, clips: bool) -> list[object]:
    for step in range(50):
        batch = trainer.prepare(step)
        if batch.clips == clips:
            return list(batch.parts[0].samples)
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


def test_fresh_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(123)
    first = build_network(TOY).state_dict()
    torch.manual_seed(456)
    assert all(torch.equal(value, first[name]) for name, value in build_network(TOY).state_dict().items())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(model="giant"), "'giant' cannot be trained"),
        (Recipe(model="sam2.1-tiny", workers=2), "dropout.*set workers = 1"),
        (Recipe(model="medsam", stages=(Stage(clip_share=0.5),)), "no memory to train on clips"),
        (Recipe(model="tiny-random", weights="published"), "no weights of tiny-random are published"),
    ],
)
def test_what_cannot_be_trained_is_said_before_it_begins(recipe: Recipe, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        first_network(recipe)


def test_a_run_can_begin_with_published_weights() -> None:
    network, shipped = first_network(Recipe(weights="published")), load("nano", "cpu")
    assert all(torch.equal(value, shipped.state_dict()[name]) for name, value in network.state_dict().items())


RECIPE = """
model = "tiny-random"
steps = 22
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
    assert main(["train", str(recipe), *folders, "--steps", "20", "--stages.0.images=2"]) == 0
    assert read_checkpoint(tmp_path / "out" / LAST).step == 20
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20]
    assert 0 <= lines[0]["reached"] <= 1
    assert not list((tmp_path / "out").glob("*.part"))
    shipped, average = open_network(tmp_path / "out" / WEIGHTS), read_checkpoint(tmp_path / "out" / LAST).average
    for name, value in shipped.state_dict().items():
        assert torch.equal(value, average[name].half().float()), name
    assert "steps = 20\n" in (tmp_path / "out" / "recipe.toml").read_text(encoding="utf-8")
    assert main(["train", str(recipe), *folders, "--resume"]) == 0
    assert main(["train", str(recipe), *folders, "--export", str(tmp_path / "weights.safetensors")]) == 0
    later = Trainer(replace(TOY, weights=str(tmp_path / "weights.safetensors")), squares, tmp_path / "later")
    assert torch.equal(later.network.absent_pointer, open_network(tmp_path / "weights.safetensors").absent_pointer)
    assert read_checkpoint(tmp_path / "out" / LAST).step == 22
    for arguments, message in (
        ([str(tmp_path / "none.toml")], "none.toml is not a file"),
        ([str(recipe), "--optimiser.learning_rats", "1"], "did you mean --optimiser.learning_rate?"),
        ([str(recipe), "--validation.dataset", "vocalfolds", "--validation.split", "held_out"], "results are reported"),
        ([str(recipe), "--model", "sam2.1-tin"], "did you mean sam2.1-tiny?"),
    ):
        with pytest.raises(SystemExit, match="2"):
            raise SystemExit(main(["train", *arguments, *folders]))
        assert message in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no run to go on with"):
        read_checkpoint(tmp_path / LAST)
    (tmp_path / LAST).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a training checkpoint"):
        read_checkpoint(tmp_path / LAST)
