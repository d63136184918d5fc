"""What is frozen stays to the bit, low-rank changes learn and merge into plain matrices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from trocar.datasets.clip import Clip
from trocar.model import tiny_random
from trocar.model.checkpoint import open_network
from trocar.model.config import tiny_sam
from trocar.model.network import Network
from trocar.model.sam1 import make_network
from trocar.train.export import export_weights
from trocar.train.optimise import Optimiser, build_optimiser
from trocar.train.parts import Parts, merge_parts, part_of, prepare_parts
from trocar.train.recipe import Recipe, Stage
from trocar.train.start import averaged_network
from trocar.train.trainer import Trainer

STAGE = Stage(side=64, images=2, rows=2, clip_share=0.5, clip_side=64, clips=1, frames=3, objects=1)


def squares(rng: np.random.Generator) -> Clip:
    images = rng.integers(60, 100, (4, 64, 64, 3)).astype(np.uint8)
    labels = np.zeros((4, 64, 64), np.uint8)
    labels[:, 10:40, 20:50] = 1
    images[labels == 1] += 120
    return Clip("squares", images, labels, {1: "square"})


def recipe_with(parts: Parts) -> Recipe:
    optimiser = Optimiser(learning_rate=1e-2, warmup_steps=1, weight_decay=0.5)
    return Recipe(model="tiny-random", steps=4, stages=(STAGE,), data={"scenes": 1.0}, optimiser=optimiser, parts=parts)


def weights(network: Network) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {part_of(name) for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    "frozen", [("prompt_encoder",), ("image_encoder", "memory"), ("image_encoder", "prompt_encoder", "memory")]
)
def test_frozen_parts_are_the_same_to_the_bit_after_training(frozen: tuple[str, ...], tmp_path: Path) -> None:
    trainer = Trainer(recipe_with(Parts(frozen=frozen)), squares, tmp_path)  # type: ignore[arg-type]
    before = weights(trainer.network)
    trainer.run()
    learned = {"image_encoder", "prompt_encoder", "mask_decoder", "memory"} - set(frozen)
    assert differing(before, trainer.network.state_dict()) == learned
    assert differing(before, trainer.average) == learned


def test_low_rank_changes_learn_alone_and_are_merged_in_what_is_shipped(tmp_path: Path) -> None:
    parts = Parts(frozen=("prompt_encoder", "memory", "mask_decoder"), lora_rank=2)
    recipe = recipe_with(parts)
    trainer = Trainer(recipe, squares, tmp_path)
    before = weights(trainer.network)
    trainer.run()
    changed = {name for name, value in trainer.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.endswith((".up", ".down")) and name.startswith("image_encoder.") for name in changed)
    plain = averaged_network(recipe, trainer.average)
    assert plain.state_dict().keys() == Network(tiny_random()).state_dict().keys()
    export_weights(recipe, tmp_path, tmp_path / "weights.safetensors")
    shipped = open_network(tmp_path / "weights.safetensors")
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        theirs, ours = shipped.encode_image(image).stride16, plain.encode_image(image).stride16
    assert torch.allclose(theirs, ours, atol=0.05)


def test_a_merged_network_computes_what_the_parametrised_one_does() -> None:
    torch.manual_seed(0)
    network = Network(tiny_random()).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = network.encode_image(image).stride16
        prepare_parts(network, Parts(lora_rank=3, lora_scale=0.5))
        assert torch.equal(network.encode_image(image).stride16, plain), "nothing changes at first"
        layer = network.image_encoder.blocks[0].mlp.layers[0]
        original = layer.parametrizations.weight.original.clone()
        change = layer.parametrizations.weight[0]
        change.up.normal_()
        expected = original + 0.5 * change.up @ change.down
        assert torch.linalg.matrix_rank(expected - original) == 3
        moved = network.encode_image(image).stride16
        merge_parts(network)
        assert torch.allclose(layer.weight, expected, atol=1e-6)
        assert torch.allclose(network.encode_image(image).stride16, moved, atol=1e-5)


def test_only_what_learns_is_in_the_optimiser() -> None:
    network = Network(tiny_random())
    prepare_parts(network, Parts(frozen=("image_encoder", "prompt_encoder", "memory")))
    optimiser = build_optimiser(network, Optimiser())
    given = {id(one) for group in optimiser.param_groups for one in group["params"]}
    assert given == {id(p) for name, p in network.named_parameters() if name.startswith("mask_decoder.")}


def test_parts_of_sam_have_the_same_names() -> None:
    network = make_network(tiny_sam())
    names = {part_of(name) for name, _ in network.named_parameters()}
    assert names == {"image_encoder", "prompt_encoder", "mask_decoder"}
    prepare_parts(network, Parts(frozen=("prompt_encoder",), lora_rank=2))
    learns = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {part_of(name) for name in learns} == {"image_encoder", "mask_decoder"}
    assert all(name.endswith((".up", ".down")) for name in learns if name.startswith("vit."))


def test_parts_that_cannot_be_are_named() -> None:
    with pytest.raises(ValueError, match="both name image_encoder"):
        Parts(frozen=("image_encoder",), lora_rank=4)
    with pytest.raises(ValueError, match="lora_rank is 0"):
        Parts(lora_rank=-1)
    network, everything = Network(tiny_random()), Parts(("image_encoder", "prompt_encoder", "mask_decoder", "memory"))
    with pytest.raises(ValueError, match="all parts of the network are frozen"):
        prepare_parts(network, everything)
