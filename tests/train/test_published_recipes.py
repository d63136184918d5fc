"""Every training recipe reads, and runs for two steps on made-up data with a tiny network in place of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.cli import main
from trocar.datasets.fixture import made_up, save
from trocar.load import load_dataset
from trocar.model.checkpoint import open_network
from trocar.model.config import tiny_sam
from trocar.settings import read_settings, read_table, to_toml
from trocar.train.ablation import TABLE_7, ablated
from trocar.train.augment import Augment
from trocar.train.checkpoint import LAST, read_checkpoint
from trocar.train.corpus import SCENES
from trocar.train.export import WEIGHTS
from trocar.train.parts import part_of
from trocar.train.recipe import Recipe, Stage
from trocar.train.render import SceneShape
from trocar.train.run import CLASSES, Run, train
from trocar.train.start import first_network

RECIPES = Path(__file__).parents[2] / "recipes"
NANO = ("nano", "nano_continued", "nano_gpu")
#: Every recipe that trains a network on images and clips: those that have stages.
TRAINING = [path.stem for path in sorted(RECIPES.glob("*.toml")) if "stages" in read_table(path)]


def read(name: str) -> Recipe:
    return read_settings(Recipe, RECIPES / f"{name}.toml")


def make_data(recipe: Recipe, root: Path) -> None:
    """Made-up data in the layout of each set of a recipe; own videos are long enough for clips of eight frames."""
    for name in recipe.data:
        if name not in (SCENES, "own-data"):
            load_dataset(name).write_fixture(root / load_dataset(name).folder)
    for split in ("train", "val"):
        images, labels = made_up(9, (1, 2), seed=3)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            for kind, pixels in (("images", image), ("masks", label)):
                save(root / "own-data" / split / kind / "video" / f"{number}.png", pixels)
    (root / "own-data/classes.json").write_text('{"1": "grasper", "2": "thing"}')


def small(recipe: Recipe, root: Path) -> Recipe:
    """The recipe with everything that costs time made small, and nothing else changed."""

    def tiny(stage: Stage) -> Stage:
        few = replace(stage, rows=min(stage.rows, 2), corrections=min(stage.corrections, 2))
        return replace(few, side=64, clip_side=64, images=2, clips=2, objects=2, frames=3)

    whole = recipe.plan.has_long_term
    made = replace(
        recipe,
        model="tiny-random",
        weights="",
        steps=2,
        minutes=0.0,
        scenes=1,
        workers=1,
        scene_shape=replace(recipe.scene_shape, side=64),
        stages=tuple(tiny(stage) for stage in recipe.stages),
        sampling=replace(recipe.sampling, folder=str(root)),
        optimiser=replace(recipe.optimiser, bf16=False),
        plan=recipe.plan if whole else replace(recipe.plan, frames=3),
        semantic=replace(recipe.semantic, encoder="stand-in"),
        corrections=replace(recipe.corrections, clicks=min(recipe.corrections.clicks, 2)),
    )
    return replace(made, validation=replace(recipe.validation, cases=1))


def test_the_page_about_training_lists_every_recipe() -> None:
    page = (RECIPES.parent / "docs/how-to/train.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [name for name in TRAINING if not any(f"`{name}.toml`" in row for row in rows)] == []


@pytest.mark.parametrize("name", TRAINING)
def test_a_recipe_reads_and_survives_toml(name: str, tmp_path: Path) -> None:
    recipe = read(name)
    (tmp_path / "again.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert read_settings(Recipe, tmp_path / "again.toml") == recipe


def test_nano_is_trained_as_it_was() -> None:
    for name in NANO:
        recipe = read(name)
        assert recipe.plan.kind == "spread"
        assert recipe.augment == Augment()
        assert recipe.scene_shape == SceneShape(6, 256)
        assert recipe.sampling.balance == ("share",)
        assert not recipe.parts.frozen
        assert not recipe.parts.lora_rank


@pytest.mark.parametrize("name", TRAINING)
def test_a_recipe_runs(name: str, tmp_path: Path) -> None:
    recipe = small(read(name), tmp_path)
    make_data(recipe, tmp_path)
    if name == "medsam-2":  # whose made-up sets have two pictures
        recipe = replace(recipe, plan=replace(recipe.plan, frames=2, initial=1))
    weights = train(Run(recipe, tmp_path / "made", tmp_path / "out"))
    assert weights is not None
    assert weights.parent == tmp_path / "out"
    open_network(tmp_path / "out" / WEIGHTS)
    used = json.loads((tmp_path / "out/data.json").read_text())
    assert {one["source"] for one in used} == set(recipe.data)
    lines = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2
    fitted = tmp_path / "out" / CLASSES
    assert fitted.is_file() == (recipe.semantic.on and bool(recipe.validation.dataset))
    for file, said in json.loads(fitted.read_text())["weights"].items() if fitted.is_file() else ():
        semantic = open_network(tmp_path / "out" / file).config.semantic
        assert semantic is not None
        assert semantic.temperature == said["temperature"]
        assert said["objects"] > 0
        assert said["answers"] == 8 * said["objects"], "on each frame of the video but the prompted one"


def test_own_data_says_what_it_used_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = small(read("own-data"), tmp_path)
    make_data(recipe, tmp_path)
    blank = np.zeros((48, 64), np.uint8)
    save(tmp_path / "own-data/train/images/blank.png", blank)
    save(tmp_path / "own-data/train/masks/blank.png", blank)
    train(Run(recipe, tmp_path / "made", tmp_path / "out"))
    assert "no frame shows an object" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    (use,) = json.loads((tmp_path / "out/data.json").read_text())
    assert (use["cases"], use["images"], use["clips"]) == (2, 1, 1)
    assert use["skipped"] == [{"case": "blank", "reason": "no frame shows an object", "still_for": ""}]
    assert (tmp_path / "out/best.safetensors").is_file()


def test_a_sam_is_trained_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """flare22-medsam.toml on a tiny SAM: its prompt encoder stays to the bit, and its weights segment a slice."""
    recipe = replace(small(read("flare22-medsam"), tmp_path), model="tiny-sam")
    make_data(recipe, tmp_path)
    first = first_network(recipe).state_dict()
    weights = train(Run(recipe, tmp_path / "made", tmp_path / "out"))
    assert weights is not None
    learned, shipped = read_checkpoint(tmp_path / "out" / LAST).network, open_network(weights)
    changed = {part_of(name) for name, value in first.items() if not torch.equal(learned[name], value)}
    assert changed == {"image_encoder", "mask_decoder"}
    assert list(learned) == list(shipped.state_dict()), "recomputed blocks keep their names"
    for name, value in shipped.state_dict().items():
        assert torch.equal(value, learned[name].half().float()), name
    assert shipped.config == replace(tiny_sam(), input="min-max")
    volume = next((tmp_path / "flare22/images").iterdir())
    asked = ["--box", "4,4,20,16@1", "--model", str(weights), "--memory", "none", "--out", str(tmp_path / "masks")]
    capsys.readouterr()
    assert main(["segment", str(volume), *asked, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["status"] == "finished"
    assert record["request"]["memory"] == {"policy": "none"}


def test_the_ablation_is_one_recipe_with_switches() -> None:
    recipe = read("sam2s-ablation")
    assert ablated(recipe, *TABLE_7["sam2s"]) == recipe
    plain = ablated(recipe, *TABLE_7["sam2"])
    assert (plain.plan.kind, plain.semantic.on, plain.ambiguity.on) == ("sam2", False, False)
    assert plain.optimiser == recipe.optimiser
    assert plain.data == recipe.data
