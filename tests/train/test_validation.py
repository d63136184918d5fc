"""Validation scores the averaged weights through the session, keeps the best, and never sees the reported split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.datasets.clip import Clip
from trocar.memory import Recent
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import open_network
from trocar.promptable import score_tracking
from trocar.train.checkpoint import LAST, read_checkpoint
from trocar.train.engine import Engine
from trocar.train.optimise import Optimiser
from trocar.train.recipe import Recipe, Stage
from trocar.train.sampling import Sampling
from trocar.train.trainer import Trainer
from trocar.train.validation import BEST, SCENE_SEED, Validation, object_scores, validation_clips


def square(rng: np.random.Generator) -> Clip:
    labels = np.zeros((2, 64, 64), np.uint8)
    labels[:, 16:40, 20:50] = 1
    images = rng.integers(60, 100, (2, 64, 64, 3)).astype(np.uint8)
    images[labels == 1] += 120
    return Clip("square", images, labels, {1: "square"})


@pytest.mark.parametrize(
    ("dataset", "split"), [("vocalfolds", "held_out"), ("endovis17", "fold0"), ("davis17", "val"), ("acdc", "all")]
)
def test_the_reported_split_is_refused(dataset: str, split: str) -> None:
    with pytest.raises(ValueError, match=f"'{split}' of {dataset} is what results are reported on"):
        Validation(dataset, split)


def test_the_split_that_is_trained_on_is_refused() -> None:
    with pytest.raises(ValueError, match="the recipe trains on vocalfolds train"):
        Recipe(data={"vocalfolds": 1.0}, validation=Validation("vocalfolds", "train"))
    with pytest.raises(ValueError, match="the recipe trains on flare22 train"):
        Recipe(data={"flare22/train": 1.0}, validation=Validation("flare22", "train"))
    Recipe(data={"vocalfolds": 1.0}, validation=Validation("vocalfolds", "tune"))


def test_rendered_clips_are_shared_among_processes() -> None:
    settings = Validation("scenes", cases=3)
    names = [clip.name for clip in validation_clips(settings, Sampling())]
    assert len(names) == len(set(names)) == 3
    shares = [validation_clips(settings, Sampling(), slice(rank, None, 2)) for rank in range(2)]
    assert [[clip.name for clip in share] for share in shares] == [names[::2], names[1::2]]
    assert not validation_clips(Validation(), Sampling())
    assert SCENE_SEED not in (800_000_000, 900_000_000)  # those of model cards
    with pytest.raises(ValueError, match="did you mean 'vocalfolds'"):
        validation_clips(Validation("vocalfold"), Sampling())


def test_a_score_is_what_benchmarks_report() -> None:
    torch.manual_seed(0)
    network, clip = Network(tiny_random()).eval(), square(np.random.default_rng(0))
    tracked = object_scores(network, [clip], Validation("scenes"))
    assert np.mean(tracked) == pytest.approx(score_tracking(network, [clip], Recent).j_and_f)
    assert len(object_scores(network, [clip], Validation("scenes", metric="box IoU"))) == 2


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    recipe = Recipe(
        model="tiny-random",
        steps=6,
        engine=Engine(log_steps=3),
        validation=Validation("scenes", every=2, metric="box IoU"),
        optimiser=Optimiser(3e-3, warmup_steps=1),
        stages=(Stage(side=64, images=2, rows=2, boxes=1.0, corrections=0),),
    )
    trainer = Trainer(recipe, square, tmp_path, clips=[square(np.random.default_rng(1))])
    trainer.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = {line["step"]: line["validation box IoU"] for line in lines if "validation box IoU" in line}
    assert list(scores) == [2, 4, 6]
    assert trainer.best == pytest.approx(max(scores.values()), abs=1e-4)
    assert read_checkpoint(tmp_path / LAST).best == trainer.best
    best = open_network(tmp_path / BEST)
    found = float(np.mean(object_scores(best, trainer.clips, recipe.validation)))
    assert found == pytest.approx(trainer.best, abs=0.01)  # the file holds half precision


def test_clips_without_an_object_are_named(tmp_path: Path) -> None:
    empty = Clip("empty", np.zeros((2, 64, 64, 3), np.uint8), np.zeros((2, 64, 64), np.uint8), {})
    recipe = Recipe(model="tiny-random", validation=Validation("scenes"))
    with pytest.raises(ValueError, match="validation on scenes tune found no object"):
        Trainer(recipe, square, tmp_path, clips=[empty]).validate()
