"""Rates, weight decays and recipes of pretraining: values by hand, and every published recipe reads and runs small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from trocar.cli import main
from trocar.model.video_encoder import VideoEncoderConfig, read_video_encoder_config
from trocar.pretrain.mixture import surgrec_shares
from trocar.pretrain.recipe import Engine, FrameSampling, Pool, PretrainRecipe
from trocar.pretrain.schedule import Schedule, build_adamw, set_schedule
from trocar.settings import read_settings, to_toml

RECIPES = sorted(
    (Path(__file__).parents[2] / "recipes").glob("surgrec-[!e]*.toml")
)  # not the experiment, which has a page of its own


def test_the_rate_warms_up_and_comes_down() -> None:
    schedule = Schedule(2e-4, 256, 0.5, 1e-5, 10)
    assert schedule.rate(0, 110, 512) == pytest.approx(4e-4 * (0.5 + 0.5 * 0.1)), "twice the clips, twice the rate"
    assert schedule.rate(9, 110, 512) == pytest.approx(4e-4)
    assert schedule.rate(60, 110, 512) == pytest.approx((4e-4 + 1e-5) / 2), "half way down the cosine"
    assert schedule.rate(110, 110, 512) == pytest.approx(1e-5)
    assert replace(schedule, rate_clips=0).rate(10, 110, 512) == pytest.approx(2e-4)


def test_the_weight_decay_grows_along_a_cosine() -> None:
    schedule = Schedule(weight_decay=0.04, final_weight_decay=0.4)
    assert [schedule.decay(step, 100) for step in (0, 50, 100)] == pytest.approx([0.04, 0.22, 0.4])
    assert Schedule().decay(37, 100) == pytest.approx(0.05)


def test_biases_norms_and_mask_tokens_have_no_decay() -> None:
    network = nn.Module()
    network.linear, network.norm = nn.Linear(3, 2), nn.LayerNorm(2)
    network.mask_token = nn.Parameter(torch.zeros(1, 1, 2))
    network.still = nn.Linear(2, 2).requires_grad_(False)
    optimiser = build_adamw(network, Schedule())
    set_schedule(optimiser, 0.1, 0.3)
    found = {id(one): group for group in optimiser.param_groups for one in group["params"]}
    assert len(found) == 5
    assert found[id(network.linear.weight)]["weight_decay"] == 0.3
    for plain in (network.linear.bias, network.norm.weight, network.norm.bias, network.mask_token):
        assert found[id(plain)]["weight_decay"] == 0.0
    assert {group["lr"] for group in optimiser.param_groups} == {0.1}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_published_recipe_reads_and_survives_toml(path: Path, tmp_path: Path) -> None:
    recipe = read_settings(PretrainRecipe, path)
    (tmp_path / "again.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert read_settings(PretrainRecipe, tmp_path / "again.toml") == recipe
    assert recipe.encoder.name == path.stem
    assert sum(pool.share for pool in recipe.pools) == pytest.approx(1)
    if len(recipe.pools) == 3:
        assert {pool.name: pool.share for pool in recipe.pools} == pytest.approx(surgrec_shares())
        assert recipe.encoder.tokens == 1568


def test_the_page_lists_every_recipe() -> None:
    page = (RECIPES[0].parents[1] / "docs/how-to/pretrain.md").read_text(encoding="utf-8")
    assert [path.name for path in RECIPES if f"`{path.name}`" not in page] == []


@pytest.mark.parametrize("family", ["mae", "jepa"])
def test_the_smoke_recipe_runs_from_the_command_line(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own recipe, smaller, and its encoder opens again."""
    path = next(one for one in RECIPES if one.stem == f"surgrec-{family}-smoke")
    given = {"encoder.depth": 1, "encoder.side": 32, "encoder.frames": 2, "batch": 2, "jepa.depth": 1}
    small = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    out = tmp_path / "out"
    assert main(["pretrain", str(path), "--out", str(out), "--steps", "2", "--engine.watch-steps", "1", *small]) == 0
    said = capsys.readouterr().out
    assert str(out / "encoder.safetensors") in said
    assert read_video_encoder_config(out / "encoder.safetensors").depth == 1
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["leak"] for line in lines if "leak" in line] == [0.0, 0.0]
    export = tmp_path / "again.safetensors"
    assert main(["pretrain", str(out / "recipe.toml"), "--out", str(out), "--export", str(export)]) == 0
    first, second = load_file(out / "encoder.safetensors"), load_file(export)
    assert {name: one.tolist() for name, one in first.items()} == {name: one.tolist() for name, one in second.items()}
    capsys.readouterr()
    assert main(["pretrain", str(path), "--out", str(tmp_path / "new"), "--resume", *small]) == 2
    assert "start without --resume" in capsys.readouterr().err


def test_recipes_that_cannot_run_are_refused() -> None:
    with pytest.raises(ValueError, match="cut into 3 parts"):
        PretrainRecipe(batch=8, engine=Engine(parts=3))
    with pytest.raises(ValueError, match="names of their own"):
        PretrainRecipe(pools=(Pool(), Pool()))
    with pytest.raises(ValueError, match="not pretrained here"):
        PretrainRecipe(encoder=VideoEncoderConfig("frames", tubelet=1))
    with pytest.raises(ValueError, match="crops in order"):
        FrameSampling(least_crop=0.9)
    with pytest.raises(ValueError, match="steps and batch of 1 or more"):
        PretrainRecipe(steps=0)
    with pytest.raises(ValueError, match="0 or more"):
        Schedule(learning_rate=-1.0)
