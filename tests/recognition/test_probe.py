"""Heads and their training on tokens, without an encoder."""

import numpy as np
import pytest
import torch

from trocar.recognition.heads import HeadConfig, make_head
from trocar.recognition.probe import Labelled, ProbeTraining, probabilities, rate_share, train_head

SETTINGS = ProbeTraining(epochs=6, batch=8, learning_rates=(1e-2,), weight_decays=(0.01,))


def labelled(count, seed, views=2, tokens=3, width=8):
    """Two classes that differ in the sign of a token's first numbers, among noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    values = rng.normal(0, 0.5, (count, views, tokens, width))
    values[..., :4] += np.where(labels, 1.0, -1.0)[:, None, None, None]
    return Labelled(values.astype(np.float16), labels)


@pytest.mark.parametrize("kind", ["linear", "attentive"])
def test_a_head_learns_what_can_be_told_and_the_same_seed_gives_the_same_head(kind):
    config = HeadConfig(kind, 8, 2, 2)
    first = train_head(config, labelled(40, 0), labelled(20, 1), SETTINGS, seed=3)
    again = train_head(config, labelled(40, 0), labelled(20, 1), SETTINGS, seed=3)
    test = labelled(30, 2)
    assert (probabilities(first.head, test.tokens).argmax(1) == test.labels).mean() >= 0.95
    for name, tensor in first.head.state_dict().items():
        assert torch.equal(tensor, again.head.state_dict()[name])


def test_rate_and_decay_are_chosen_on_the_validation_clips():
    """The same training clips: where validation says the opposite, what has learned least is best."""
    settings = ProbeTraining(epochs=6, batch=8, learning_rates=(1e-2, 1e-9), weight_decays=(0.01,))
    config, validation = HeadConfig("linear", 8, 2, 2), labelled(20, 1)
    upright = train_head(config, labelled(40, 0), validation, settings, seed=0)
    turned = train_head(config, labelled(40, 0), Labelled(validation.tokens, 1 - validation.labels), settings, seed=0)
    assert upright.chosen["learning_rate"] == 1e-2
    assert turned.chosen["learning_rate"] == 1e-9
    assert len(upright.tried) == 2
    assert upright.chosen["validation_accuracy"] == 1


def test_the_attentive_head_looks_at_tokens_in_any_order_and_the_linear_one_at_their_mean():
    torch.manual_seed(0)
    tokens = torch.randn(5, 7, 8)
    attentive, linear = make_head(HeadConfig("attentive", 8, 3, 2)), make_head(HeadConfig("linear", 8, 3, 2))
    shuffled = tokens[:, torch.randperm(7)]
    torch.testing.assert_close(attentive(shuffled), attentive(tokens), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(attentive(tokens[:, :3]), attentive(tokens), atol=1e-6)
    torch.testing.assert_close(linear(tokens), linear(tokens.mean(1, keepdim=True)))


def test_views_are_merged_as_probabilities():
    tokens = labelled(4, 0).tokens
    head = make_head(HeadConfig("linear", 8, 2, 2))
    torch.nn.init.normal_(head.out.weight)
    with torch.no_grad():
        single = [head(torch.from_numpy(tokens[:, view]).float()).softmax(1).numpy() for view in range(2)]
    np.testing.assert_allclose(probabilities(head, tokens, batch=3), (single[0] + single[1]) / 2, atol=1e-6)


def test_rates_by_hand():
    assert [rate_share(step, 4, 0.5) for step in range(4)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert rate_share(0, 10, 0.0) == 1


def test_what_cannot_be_trained_is_refused():
    empty = Labelled(np.zeros((0, 1, 1, 8), np.float16), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="needs training and validation clips"):
        train_head(HeadConfig("linear", 8, 2), labelled(4, 0), empty, SETTINGS, 0)
    with pytest.raises(ValueError, match="2 classes or more"):
        HeadConfig("linear", 8, 1)
    with pytest.raises(ValueError, match="with a rate and a decay"):
        ProbeTraining(learning_rates=())
