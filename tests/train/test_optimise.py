"""Rates of the network's parts, by hand, and what a checkpoint may change of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trocar.model import Network, tiny_random
from trocar.model.config import tiny_sam
from trocar.model.sam1 import make_network
from trocar.train.optimise import Optimiser, build_optimiser, learning_rate, load_optimiser, rate_scale, set_rate

FINE_TUNE = Optimiser(learning_rate=5e-6, image_encoder_rate=3e-6, layer_decay=0.9, weight_decay=0.1)


def test_warm_up_then_cosine() -> None:
    settings = Optimiser(learning_rate=1.0, final_share=0.1, warmup_steps=10)
    assert learning_rate(settings, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate(settings, 100, 0.0) == pytest.approx(1.0)
    assert learning_rate(settings, 100, 0.5) == pytest.approx(0.55)
    assert learning_rate(settings, 100, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("mask_decoder.mask_tokens.weight", 5e-6),
        ("image_encoder.laterals.0.weight", 3e-6),
        ("image_encoder.position", 3e-6),
        ("image_encoder.blocks.4.mlp.layers.0.weight", 3e-6 * 0.9),
        ("image_encoder.blocks.0.norm1.weight", 3e-6 * 0.9**5),
        ("image_encoder.patch.weight", 3e-6 * 0.9**6),
    ],
)
def test_the_layers_of_the_image_encoder_learn_ever_more_slowly(name: str, rate: float) -> None:
    """Five blocks: the last has one step of decay, the layer before the first block six."""
    assert 5e-6 * rate_scale(Network(tiny_random()), name, FINE_TUNE) == pytest.approx(rate)


def test_sam_has_the_same_decay() -> None:
    network = make_network(tiny_sam())  # three blocks
    assert rate_scale(network, "vit.blocks.2.norm1.weight", Optimiser(layer_decay=0.5)) == 0.5
    assert rate_scale(network, "vit.patch.weight", Optimiser(layer_decay=0.5)) == 0.5**4


def test_every_parameter_that_learns_is_in_one_group_and_single_vectors_do_not_decay() -> None:
    network = Network(tiny_random())
    network.prompt_encoder.requires_grad_(False)
    optimiser = build_optimiser(network, FINE_TUNE)
    listed = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    assert len(listed) == len({id(parameter) for parameter in listed})
    assert {id(p) for p in listed} == {id(p) for p in network.parameters() if p.requires_grad}
    for group in optimiser.param_groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    set_rate(optimiser, 1e-6)
    assert max(group["lr"] for group in optimiser.param_groups) == 1e-6
    assert min(group["lr"] for group in optimiser.param_groups) == pytest.approx(0.6e-6 * 0.9**6)


def test_a_resumed_run_goes_by_its_own_recipe() -> None:
    network = Network(tiny_random())
    state = build_optimiser(network, Optimiser(weight_decay=0.05)).state_dict()
    other = build_optimiser(network, Optimiser(weight_decay=0.2))
    load_optimiser(other, state)
    assert {group["weight_decay"] for group in other.param_groups} == {0.2, 0.0}
    with pytest.raises(ValueError, match="other rates for parts of the network"):
        load_optimiser(build_optimiser(network, replace(FINE_TUNE, layer_decay=0.8)), state)


def test_old_checkpoints_have_groups_without_a_scale() -> None:
    """Two groups, matrices first, as they have always been written."""
    network = Network(tiny_random())
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    old = torch.optim.AdamW([{"params": matrices}, {"params": others, "weight_decay": 0.0}], lr=1e-3)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    old.step()
    new = build_optimiser(network, Optimiser())
    load_optimiser(new, old.state_dict())
    assert torch.equal(new.state[matrices[3]]["exp_avg"], old.state[matrices[3]]["exp_avg"])
    assert [group["scale"] for group in new.param_groups] == [1.0, 1.0]
