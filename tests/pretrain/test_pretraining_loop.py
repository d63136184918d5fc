"""The loop of pretraining: it learns, resumes exactly, gives the same whoever computes, and says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_pretraining import Bars, toy_recipe, trainer_for

from trocar.model.video_encoder import make_video_encoder, open_video_encoder, save_video_encoder
from trocar.pretrain.masks import Masks
from trocar.pretrain.run import export_encoder
from trocar.pretrain.start import first_network
from trocar.pretrain.trainer import PretrainTrainer
from trocar.train.checkpoint import LAST, read_checkpoint
from trocar.train.distributed import Team

ROOT = Path(__file__).parents[2]
FAMILIES = ["videomae", "vjepa2"]
CLOCK = {"seconds", "steps_per_s", "samples_per_s", "peak_memory_gb"}


def curve(out: Path) -> list[dict[str, Any]]:
    """The lines of the log, without what the clock says."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]


def run_here(out: Path, family: str, steps: int, parts: int = 2, rate: float = 1e-3) -> PretrainTrainer:
    trainer = trainer_for(toy_recipe(family, steps, rate, parts), out, Team())
    trainer.run()
    return trainer


def start(out: Path, family: str, steps: int, *more: str, size: int = 1) -> list[subprocess.Popen[bytes]]:
    """What torchrun does on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = str(ROOT / "tests/pretrain/toy_pretraining.py")
    given = [sys.executable, script, str(out), family, str(steps), "1e-3", "2", *more]
    own = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    own |= {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(given, env={**own, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.DEVNULL)
        for rank in range(size)
    ]


def assert_alike(out: Path, whole: Path) -> None:
    found, expected = curve(out), curve(whole)
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-3), one["step"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_learns_watches_itself_and_leaves_an_encoder(family: str, tmp_path: Path) -> None:
    trainer = run_here(tmp_path, family, 30, rate=3e-3)
    lines = curve(tmp_path)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-3:]) < 0.97 * np.mean(losses[:3])
    watched = [line for line in lines if "leak" in line]
    assert [line["step"] for line in watched] == [1, 4, 8, 12, 16, 20, 24, 28]
    assert all(line["leak"] == 0.0 and line["clip_std"] > 0.1 for line in watched)
    export_encoder(trainer.recipe, tmp_path, tmp_path / "encoder.safetensors")
    encoder = open_video_encoder(tmp_path / "encoder.safetensors")
    clips = torch.rand(1, 4, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(clips), trainer.network.encoder(clips), atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_is_stopped_goes_on_to_the_bit(family: str, tmp_path: Path) -> None:
    whole = run_here(tmp_path / "whole", family, 7)
    recipe = toy_recipe(family, 7, 1e-3, 2)
    first = trainer_for(recipe, tmp_path / "stopped", Team())
    learn = first.learn

    def stopping(parts: Any) -> dict[str, float]:
        first.stopping = first.step == 3
        return learn(parts)

    first.learn = stopping  # type: ignore[method-assign]
    first.run()
    assert first.step == 4
    second = trainer_for(recipe, tmp_path / "stopped", Team())
    second.resume()
    second.run()
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name


def test_parts_change_nothing_that_mae_learns(tmp_path: Path) -> None:
    one, four = (run_here(tmp_path / str(parts), "videomae", 4, parts) for parts in (1, 4))
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(four.network.state_dict()[name], value, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_recomputing_changes_no_gradient(family: str, tmp_path: Path) -> None:
    recipe = toy_recipe(family, 2, 1e-3, 1)
    norms = []
    for recompute in (False, True):
        again = replace(recipe, engine=replace(recipe.engine, recompute=recompute))
        trainer = trainer_for(again, tmp_path / str(recompute), Team())
        norms.append(trainer.learn(trainer.prepare(0)))
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_bfloat16_the_loss_is_nearly_the_same_and_nothing_leaks(family: str, tmp_path: Path) -> None:
    recipe = toy_recipe(family, 2, 1e-3, 1)
    losses = []
    for bf16 in (False, True):
        again = replace(recipe, schedule=replace(recipe.schedule, bf16=bf16))
        trainer = trainer_for(again, tmp_path / str(bf16), Team())
        parts = trainer.prepare(0)
        losses.append(trainer.learn(parts)["loss"])
        trainer.journal.begin(0)
        trainer._watch(parts)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]
    assert {one.dtype for one in trainer.network.state_dict().values()} == {torch.float32}
    assert curve(tmp_path / "True")[0]["leak"] == 0.0


def test_a_step_sees_the_same_whoever_asks(tmp_path: Path) -> None:
    recipe = toy_recipe("vjepa2", 2, 1e-3, 2)
    whole = trainer_for(recipe, tmp_path, Team()).prepare(5)
    for rank in (0, 1):
        (own,) = trainer_for(recipe, tmp_path, Team(rank, 2)).prepare(5)
        assert torch.equal(own.pictures, whole[rank].pictures)
        assert torch.equal(own.masks[1].hidden, whole[rank].masks[1].hidden)
    assert not torch.equal(whole[0].pictures, whole[1].pictures)


class Leaking:
    """An objective whose prediction has seen what is hidden, and whose features are all one."""

    def __init__(self, trainer: PretrainTrainer) -> None:
        self.encoder = trainer.network.encoder

    def features(self, clips: Tensor) -> Tensor:
        return torch.ones(2, 64, 8)

    def leak(self, clips: Tensor, masks: Sequence[Masks]) -> float:
        return 0.5


def test_collapse_is_said_and_a_leak_ends_the_run(tmp_path: Path) -> None:
    trainer = trainer_for(toy_recipe("videomae", 2, 1e-3, 1), tmp_path, Team())
    parts = trainer.prepare(0)
    trainer.step = 1
    trainer.network = Leaking(trainer)  # type: ignore[assignment]
    with (
        pytest.warns(UserWarning, match="features have collapsed"),
        pytest.raises(RuntimeError, match=r"hidden pixels reach what is predicted \(0\.5\)"),
    ):
        trainer._watch(parts)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run_here(tmp_path, "videomae", 1)
    other = trainer_for(toy_recipe("vjepa2", 2, 1e-3, 2), tmp_path, Team())
    with pytest.raises(ValueError, match="not a checkpoint of this recipe"):
        other.resume()
    with pytest.raises(ValueError, match="is of another recipe"):
        export_encoder(other.recipe, tmp_path, tmp_path / "encoder.safetensors")
    with pytest.raises(FileNotFoundError, match="start without --resume"):
        trainer_for(toy_recipe("vjepa2", 2, 1e-3, 2), tmp_path / "new", Team()).resume()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_begins_with_given_weights(family: str, tmp_path: Path) -> None:
    recipe = toy_recipe(family, 2, 1e-3, 2)
    torch.manual_seed(9)
    given = make_video_encoder(recipe.encoder)
    save_video_encoder(given, tmp_path / "given.safetensors", {}, torch.float32)
    network = first_network(replace(recipe, weights=str(tmp_path / "given.safetensors")))
    for name, value in given.state_dict().items():
        assert torch.equal(network.encoder.state_dict()[name], value), name
    wider = replace(recipe.encoder, width=48)
    with pytest.raises(ValueError, match="an encoder of width 24, not that of the recipe"):
        first_network(replace(recipe, encoder=wider, weights=str(tmp_path / "given.safetensors")))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_transformers_brings_its_decoder_or_predictor(family: str, tmp_path: Path) -> None:
    recipe = toy_recipe(family, 2, 1e-3, 2)
    first: Any = first_network(replace(recipe, seed=4))
    if family == "videomae":
        first.network.save_pretrained(tmp_path / "given")
    else:
        import transformers

        whole = transformers.VJEPA2Model(first.predictor.config)
        whole.encoder.load_state_dict(first.context.body.state_dict())
        whole.predictor.load_state_dict(first.predictor.state_dict())
        whole.save_pretrained(tmp_path / "given")
    again = first_network(replace(recipe, weights=str(tmp_path / "given")))
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_pools_without_clips_are_refused(tmp_path: Path) -> None:
    class Empty(Bars):
        def __len__(self) -> int:
            return 0

    with pytest.raises(ValueError, match="'core' has a share but no clips"):
        PretrainTrainer(toy_recipe("videomae", 2, 1e-3, 2), {"core": Empty(), "unlabelled": Bars()}, tmp_path)


def test_more_processes_than_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"engine\.parts 2 leaves some of 3 processes without work"):
        trainer_for(toy_recipe("videomae", 2, 1e-3, 2), tmp_path, Team(1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_learn_what_one_learns_from_twice_as_much(family: str, tmp_path: Path) -> None:
    run_here(tmp_path / "one", family, 6)
    running = start(tmp_path / "two", family, 6, size=2)
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    assert_alike(tmp_path / "two", tmp_path / "one")
    end, expected = (read_checkpoint(tmp_path / name / LAST).network for name in ("two", "one"))
    for name, value in expected.items():
        torch.testing.assert_close(end[name], value, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_killed_as_two_it_goes_on_as_one(family: str, tmp_path: Path) -> None:
    steps = 14
    run_here(tmp_path / "whole", family, steps)
    running = start(tmp_path / "killed", family, steps, size=2)
    while not (tmp_path / "killed" / LAST).is_file() and running[0].poll() is None:
        time.sleep(0.005)
    for process in running:
        process.send_signal(signal.SIGKILL)
    assert [process.wait() for process in running] == [-signal.SIGKILL] * 2
    assert 0 < read_checkpoint(tmp_path / "killed" / LAST).step < steps
    with (tmp_path / "killed/log.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')  # a line that was being written
    (again,) = start(tmp_path / "killed", family, steps, "--resume")
    assert again.wait(timeout=300) == 0
    assert_alike(tmp_path / "killed", tmp_path / "whole")
