"""The temperature of a network's classes: fitted on what it says of tracked objects, and kept in its file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.datasets import Clip
from trocar.frames import ArraySource
from trocar.memory import Recent
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import open_network, read_head, save_weights
from trocar.prompts import tight_box
from trocar.track.session import Session
from trocar.train.class_calibration import (
    ClassAnswers,
    ClassCalibration,
    calibrate_file,
    class_answers,
    fitted,
    write_calibrations,
)
from trocar.train.equipment import equipped_network
from trocar.train.recipe import Recipe
from trocar.train.semantic import Semantic

NAMES = ("grasper", "scissors", "needle")


def network() -> Network:
    torch.manual_seed(0)
    return equipped_network(tiny_random(), Recipe(semantic=Semantic(True, NAMES, encoder="stand-in"))).eval()


def clip(first: str = "scissors", second: str = "liver") -> Clip:
    """Two squares over five frames; the second one is there from the third frame on."""
    labels = np.zeros((5, 64, 64), np.uint8)
    labels[:, 8:28, 8:28], labels[2:, 36:60, 20:44] = 1, 2
    images = np.random.default_rng(0).integers(60, 100, (5, 64, 64, 3)).astype(np.uint8)
    images[labels == 1], images[labels == 2] = 220, 10
    return Clip("squares", images, labels, {1: first, 2: second})


def answers(margin: float, right: int, wrong: int) -> ClassAnswers:
    """Two classes: the first one is said with a margin of logits, and is right so many times."""
    logits = np.tile([margin, 0.0], (right + wrong, 1))
    return ClassAnswers(logits, np.array([0] * right + [1] * wrong), 2)


@pytest.mark.parametrize("margin", [0.5, 3.0, 40.0])
def test_three_of_four_right_by_hand(margin: float) -> None:
    """The likeliest temperature gives the probability that came true: 1 / (1 + e^(-m/T)) = 3/4, so T = m / ln 3."""
    found = fitted(answers(margin, 6, 2))
    assert found.temperature == pytest.approx(margin / math.log(3), rel=1e-4)
    assert (found.objects, found.answers, found.accuracy) == (2, 8, 0.75)
    assert found.error_before == pytest.approx(abs(1 / (1 + math.exp(-margin)) - 0.75), abs=1e-6)
    assert found.error_after == pytest.approx(0, abs=1e-4)


def test_nothing_is_fitted_where_all_are_right_or_nothing_was_said() -> None:
    assert fitted(answers(3.0, 8, 0)).temperature == 1
    assert fitted(ClassAnswers(np.zeros((0, 2)), np.zeros(0, np.int64), 0)) == ClassCalibration()


def test_answers_are_what_the_head_says_of_objects_with_a_known_class() -> None:
    net, said = network(), []
    assert net.semantic_head is not None
    net.semantic_head.register_forward_hook(lambda module, given, logits: said.append(logits[0].double().numpy()))
    found = class_answers(net, [clip()], "recent")
    assert (found.objects, found.targets.tolist()) == (1, [1] * 4)
    centred = [rows - rows.mean(1, keepdims=True) for rows in (found.logits, np.array(said))]
    assert np.allclose(*centred, atol=1e-3), "to a constant of each frame, and with nothing cut off"
    assert class_answers(net, [clip(second="needle")], "recent").targets.tolist().count(2) == 2
    assert class_answers(net, [clip("liver")], "recent").objects == 0
    assert net.config.semantic is not None
    assert net.config.semantic.temperature == 1


def test_a_file_keeps_its_temperature_and_tracking_says_what_it_makes_of_it(tmp_path: Path) -> None:
    path, shown = tmp_path / "weights.safetensors", [clip("grasper", "needle"), clip("scissors", "scissors")]
    save_weights(network(), path, {"model": "toy"})
    before = open_network(path)
    found = calibrate_file(path, shown, "recent")
    after = open_network(path)
    assert read_head(path)["model"] == "toy"
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in after.state_dict().items())
    assert after.config.semantic == replace(before.config.semantic, temperature=found.temperature)  # type: ignore[type-var]
    assert found.temperature != 1
    heard = class_answers(after, shown[:1], "recent").logits[:1]
    session = Session(after, ArraySource(shown[0].images), Recent())
    session.add(tight_box(shown[0].labels[0] == 1), object_id=1)
    chances = next(masks.classes for masks in session.propagate() if masks.classes)[1]
    tempered = np.exp(heard[0] / found.temperature)
    assert [*chances.values()] == pytest.approx(tempered / tempered.sum(), abs=1e-4)
    session.close()
    write_calibrations(tmp_path / "classes.json", {path.name: found}, "toys val")
    written = json.loads((tmp_path / "classes.json").read_text())
    assert written["fitted_on"] == "toys val"
    assert written["weights"][path.name]["temperature"] == found.temperature
