"""Whether a class is there: what speaks for it, by hand, and how that is weighed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.classprompt import ClassMasks, ClassModel, ClassPromptConfig, open_class_model
from trocar.classprompt.finder import ClassFinder
from trocar.classprompt.presence import EVIDENCE, believed, calibrate, evidence, fit_presence, instances, presence
from trocar.model import Network, tiny_random
from trocar.model.tensors import ImageFeatures

NAMES = ("hook", "grasper")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random()).eval()


@pytest.fixture
def model(network: Network) -> ClassModel:
    torch.manual_seed(1)
    return ClassModel(ClassPromptConfig(NAMES, network.config.hidden_dim, 16, 64), network).eval()


@pytest.fixture(scope="module")
def frames(network: Network) -> list[ImageFeatures]:
    torch.manual_seed(2)
    with torch.no_grad():
        return [network.encode_image(torch.randn(1, 3, 64, 64)) for _ in range(6)]


def found(logits: torch.Tensor, quality: float = 0.75, score: float = 2.0) -> ClassMasks:
    shape = logits.shape[:2]
    return ClassMasks(logits, torch.full(shape, quality), torch.full(shape, score))


def test_the_evidence_by_hand(model: ClassModel, frames: list[ImageFeatures]) -> None:
    """A mask of 3 of 16 cells with a probability of 0.8, over features that are the prototype; nothing was fitted."""
    logits = torch.full((1, 1, 4, 4), -50.0)
    logits[0, 0, 0, :3] = math.log(4)
    prototype = model.head.prototypes.detach()[0]
    features = replace(frames[0], stride16=prototype[None, :, None, None].expand_as(frames[0].stride16))
    seen = instances(found(logits), [0])
    numbers = dict(zip(EVIDENCE, evidence(model, features, seen)[0].tolist(), strict=True))
    assert numbers == pytest.approx(
        {
            "similarity": 1.0,
            "likeness": 0.0,
            "quality": math.log(3),  # the logit of 3/4
            "object score": 2.0,
            "area": math.log(4 / 17),
            "sharpness": 0.8,
        },
        abs=1e-5,
    )


def test_outliers_saturate_and_nothing_found_is_no_evidence(model: ClassModel, frames: list[ImageFeatures]) -> None:
    numbers = evidence(model, frames[0], instances(found(torch.ones(1, 1, 4, 4), quality=1.0, score=30.0), [0]))[0]
    assert numbers[2:4].tolist() == pytest.approx([8.0, 8.0], abs=1e-3)
    assert evidence(model, frames[0], instances(found(torch.full((1, 2, 4, 4), -1.0)), [0, 1])).shape == (0, 6)


def test_each_instance_is_weighed_by_itself(model: ClassModel, frames: list[ImageFeatures]) -> None:
    """By its area alone: of two instances of 10 and 40 of 256 cells only the larger one is believed."""
    threshold = math.log(20 / 257)
    model.config = replace(model.config, presence=((-10 * threshold, 0, 0, 0, 0, 10.0, 0), (0.0,) * 7))
    logits = torch.full((1, 1, 16, 16), -5.0)
    logits[0, 0, :2, :5] = 3.0
    logits[0, 0, 8:12, 4:14] = 3.0
    masks = found(logits)
    seen = instances(masks, [0])
    assert (seen.logits > 0).sum((1, 2)).tolist() == [40, 10]
    chances = presence(model, frames[0], seen).tolist()
    assert chances == pytest.approx([1 / (1 + (20 / 41) ** 10), 1 / (1 + (20 / 11) ** 10)], rel=1e-4)
    kept = believed(model, frames[0], masks, [0]).logits > 0
    assert kept.sum() == 40
    assert kept[0, 0, 8:12, 4:14].all()


def test_presence_is_the_logistic_of_the_weighed_evidence(model: ClassModel, frames: list[ImageFeatures]) -> None:
    model.config = replace(model.config, presence=((0.5, 0, 0, 0, 1.0, 0, 0), (-4.0, 0, 0, 0, 0.5, 0, 0)))
    masks = found(torch.ones(1, 2, 4, 4))
    chances = [1 / (1 + math.exp(-2.5)), 1 / (1 + math.e**3)]
    assert presence(model, frames[0], instances(masks, [0, 1])).tolist() == pytest.approx(chances)
    assert presence(model, frames[0], instances(masks, [1, 0])).tolist() == pytest.approx(chances[::-1])
    kept = believed(model, frames[0], masks, [0, 1]).logits > 0
    assert kept.flatten(2).any(-1).tolist() == [[True, False]]


def test_a_model_that_was_never_calibrated_says_so(
    model: ClassModel, network: Network, frames: list[ImageFeatures]
) -> None:
    with pytest.raises(ValueError, match="never calibrated"):
        presence(model, frames[0], instances(found(torch.ones(1, 2, 4, 4)), [0, 1]))
    with pytest.raises(ValueError, match="never calibrated"):
        ClassFinder(model, network)


def drawn(
    rng: np.random.Generator, count: int, slope: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    numbers = rng.normal(size=(count, 2)) * (1.0, 5.0) + (3.0, -2.0)
    chances = 1 / (1 + np.exp(-slope * (numbers[:, 0] - 3.0)))
    return numbers, rng.random(count) < chances, chances


def test_the_fit_finds_the_probabilities_that_the_answers_were_drawn_with() -> None:
    """The second number says nothing, and gets no weight to speak of."""
    numbers, there, chances = drawn(np.random.default_rng(0), 4000, 2.0)
    ((constant, first, second),) = fit_presence(numbers, there, np.zeros(4000, int), 1)
    assert (constant, first, second) == pytest.approx((-6.0, 2.0, 0.0), abs=0.4)
    said = 1 / (1 + np.exp(-(constant + numbers @ (first, second))))
    assert np.abs(said - chances).mean() < 0.02


def test_a_class_of_its_own_kind_gets_its_own_weights_and_one_without_frames_the_shared_ones() -> None:
    rng = np.random.default_rng(1)
    parts = [drawn(rng, 2000, slope) for slope in (2.0, 0.5)]
    numbers, there = np.concatenate([one[0] for one in parts]), np.concatenate([one[1] for one in parts])
    rows = fit_presence(numbers, there, np.repeat([0, 1], 2000), 3)
    assert rows[0][1] == pytest.approx(2.0, abs=0.4)
    assert rows[1][1] == pytest.approx(0.5, abs=0.2)
    assert rows[1][1] < rows[2][1] < rows[0][1]


def test_a_class_that_is_always_there_keeps_finite_weights() -> None:
    numbers, there, _ = drawn(np.random.default_rng(2), 500, 2.0)
    rows = fit_presence(
        np.vstack((numbers, numbers[:20])), np.append(there, [True] * 20), np.repeat([0, 1], [500, 20]), 2
    )
    assert np.isfinite(rows).all()
    assert np.abs(rows).max() < 50


@pytest.mark.parametrize("there", [True, False])
def test_nothing_to_tell_is_an_error(there: bool) -> None:
    with pytest.raises(ValueError, match="always there" if there else "never there"):
        fit_presence(np.zeros((4, 2)), np.full(4, there), np.zeros(4, int), 1)


def test_calibration_makes_a_model_right_on_what_it_can_tell(
    model: ClassModel, network: Network, frames: list[ImageFeatures], tmp_path: Path
) -> None:
    """Whether a class is there is set by the similarity of what is found, which is among the evidence."""
    with torch.no_grad():
        masks = [
            replace(one, logits=one.logits + 50) for one in (model.masks(network, each, [0, 1]) for each in frames)
        ]
        seen = [evidence(model, one, instances(found, [0, 1])) for one, found in zip(frames, masks, strict=True)]
    model.masks = lambda network, features, classes: replace(  # type: ignore[method-assign]
        (made := ClassModel.masks(model, network, features, classes)), logits=made.logits + 50
    )
    middle = torch.cat([one[:, 0] for one in seen]).median()
    shown = [{number: bool(one[number, 0] > middle) for number in (0, 1)} for one in seen]
    many = [pair for _ in range(40) for pair in zip(frames, shown, strict=True)]
    calibrate(model, network, many)
    for one, found, wanted in zip(frames, masks, shown, strict=True):
        kept = believed(model, one, found, [0, 1]).logits > 0
        assert kept.flatten(2).any(-1)[0].tolist() == [wanted[0], wanted[1]]
    model.save(tmp_path / "model.safetensors", dtype=torch.float32)
    again = open_class_model(tmp_path / "model.safetensors", network)
    rows = instances(masks[0], [0, 1])
    assert torch.equal(presence(again, frames[0], rows), presence(model, frames[0], rows))
    with pytest.raises(ValueError, match="nothing to calibrate"):
        calibrate(model, network, [])


def test_the_finder_looks_for_what_it_is_asked(
    model: ClassModel, network: Network, frames: list[ImageFeatures]
) -> None:
    rows = ((3.0, 0, 0, 0, 0, 0, 0), (-3.0, 0, 0, 0, 0, 0, 0))
    model.config = replace(model.config, presence=rows)
    assert ClassFinder(model, network).classes == NAMES
    assert ClassFinder(model, network, ["GRASPER", "grasper"]).classes == ("grasper",)
    with pytest.raises(ValueError, match="there is no class 'graspers': did you mean 'grasper'"):
        ClassFinder(model, network, ["graspers"])
    sightings = ClassFinder(model, network).look(0, frames[0])
    assert sightings
    for one in sightings:
        chance = 1 / (1 + math.exp(-3 if one.name == "hook" else 3))
        assert one.presence == pytest.approx(chance, abs=1e-6)
        assert one.logits.shape == (16, 16)
        assert 0 <= one.quality <= 1
