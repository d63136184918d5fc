"""JEPA's own forward pass: it leaks nothing, and is that of transformers where both can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from trocar.model.video_encoder import VideoEncoderConfig, make_video_encoder
from trocar.pretrain.jepa import JointEmbeddingPredictor, Prediction
from trocar.pretrain.masks import Masks
from trocar.pretrain.objective import hidden_gradient

CONFIG = VideoEncoderConfig("vjepa2", width=48, depth=2, heads=4, side=48, frames=4, patch=8, tubelet=2)
SETTINGS = Prediction(width=24, depth=2, heads=2, keep=0.5, last_keep=1.0, stretch=2.0)


@pytest.fixture(scope="module")
def model() -> JointEmbeddingPredictor:
    torch.manual_seed(0)
    made = JointEmbeddingPredictor(CONFIG, SETTINGS)
    with torch.no_grad():
        for parameter in made.parameters():  # zero-initialised tokens and norms would hide a missing step
            parameter += 0.05 * torch.randn_like(parameter)
    return made


def drawn(model: JointEmbeddingPredictor) -> tuple[Tensor, tuple[Masks, ...]]:
    clips = torch.rand(2, 4, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    rngs = [np.random.default_rng(number) for number in range(2)]
    return clips, model.draw_masks(np.random.default_rng(0), rngs)


def stock(model: JointEmbeddingPredictor) -> Any:
    """transformers' whole network with the same weights."""
    config = model.predictor.config
    found = transformers.VJEPA2Model(config)
    found.encoder.load_state_dict(model.context.body.state_dict())
    found.predictor.load_state_dict(model.predictor.state_dict())
    return found


def test_fresh_weights_are_drawn_as_those_of_an_encoder_trained_from_scratch() -> None:
    torch.manual_seed(0)
    made = JointEmbeddingPredictor(CONFIG, SETTINGS)
    scratch = make_video_encoder(CONFIG)
    for own in (made.context, made.target):
        for (name, one), other in zip(own.named_parameters(), scratch.parameters(), strict=True):
            bound = float(other.detach().abs().max())  # of uniform draws: hundreds of them come near it
            assert float(one.detach().abs().max()) == pytest.approx(bound, rel=0.1), name
    for number, block in enumerate(made.predictor.layer, 1):
        bound = (6 / (24 + 24)) ** 0.5 / (2 * number) ** 0.5
        assert 0.9 * bound < float(block.attention.proj.weight.detach().abs().max()) <= 1.000001 * bound


def test_nothing_hidden_reaches_the_context_and_the_stock_forward_would_leak(model: JointEmbeddingPredictor) -> None:
    clips, masks = drawn(model)
    assert model.leak(clips, masks) == 0.0
    seeing = clips.clone().requires_grad_()
    normal = (seeing - model.context.mean) / model.context.std
    answer = stock(model)(normal, context_mask=[masks[0].seen], target_mask=[masks[0].hidden])
    assert hidden_gradient(answer.masked_hidden_state, seeing, masks[0].hidden, model.context) > 0


def test_with_all_tokens_the_context_encoder_is_the_stock_encoder(model: JointEmbeddingPredictor) -> None:
    clips, _ = drawn(model)
    every = torch.arange(CONFIG.tokens).expand(2, -1)
    normal = (clips - model.context.mean) / model.context.std
    with torch.no_grad():
        expected = stock(model)(normal, skip_predictor=True).last_hidden_state
        torch.testing.assert_close(model.context(clips, every), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.context(clips), expected, atol=1e-5, rtol=1e-5)


def test_the_predictor_is_the_stock_predictor(model: JointEmbeddingPredictor) -> None:
    """Stock sorts tokens, always takes mask token 1, and gathers the context out of what it is given."""
    clips, masks = drawn(model)
    one = masks[1]
    with torch.no_grad():
        whole = torch.zeros(2, CONFIG.tokens, 48)
        whole.scatter_(1, one.seen[..., None].expand(-1, -1, 48), model.context(clips, one.seen))
        expected = stock(model).predictor(whole, [one.seen], [one.hidden]).last_hidden_state
        torch.testing.assert_close(model.predict(clips, one, 1), expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(model.predict(clips, one, 0), expected, atol=1e-3), "a token for each family"


def test_the_loss_is_the_mean_absolute_error_of_normalised_features(model: JointEmbeddingPredictor) -> None:
    clips, masks = drawn(model)
    with torch.no_grad():
        asked = model(clips, masks)
        features = model.target(clips).double().numpy()
        wanted = (features - features.mean(-1, keepdims=True)) / np.sqrt(features.var(-1, keepdims=True) + 1e-5)
        means = []
        for family, one in enumerate(masks):
            found = model.predict(clips, one, family).double().numpy()
            rows = [np.abs(found[clip] - wanted[clip, one.hidden[clip].numpy()]) for clip in range(2)]
            means.append(np.mean(rows))
    assert float(asked.loss) == pytest.approx(np.mean(means), rel=1e-5)
    assert asked.figures["short_loss"] == pytest.approx(means[0], rel=1e-5)
    assert asked.figures["long_visible"] == masks[1].share


def test_the_target_follows_and_does_not_learn(model: JointEmbeddingPredictor) -> None:
    clips, masks = drawn(model)
    model.zero_grad()
    model(clips, masks).loss.backward()
    idle = {name for name, one in model.named_parameters() if one.requires_grad and one.grad is None}
    assert idle == set()
    assert all(not one.requires_grad and one.grad is None for one in model.target.parameters())
    assert model.encoder is model.target
    before = [one.clone() for one in model.target.parameters()]
    context = [one.detach() for one in model.context.parameters()]
    model.after_step(0.0)  # half of it stays
    for was, own, now in zip(before, context, model.target.parameters(), strict=True):
        torch.testing.assert_close(now, (was + own) / 2)
    model.after_step(1.0)  # half way from 0.5 to 1, since the growth takes twice the run: 0.75 of it stays
    for was, own, now in zip(before, context, model.target.parameters(), strict=True):
        torch.testing.assert_close(now, 0.375 * was + 0.625 * own)


def test_the_target_begins_as_a_copy_and_deeper_blocks_add_less() -> None:
    torch.manual_seed(1)
    fresh = JointEmbeddingPredictor(replace(CONFIG, depth=8), SETTINGS)
    for own, theirs in zip(fresh.target.parameters(), fresh.context.parameters(), strict=True):
        assert own is not theirs
        assert torch.equal(own, theirs)
    first, last = (float(fresh.context.blocks[i].mlp.fc2.weight.detach().std()) for i in (0, 7))
    assert first / last == pytest.approx(8**0.5, rel=0.1)
    assert float(fresh.predictor.embeddings.mask_tokens.detach().abs().max()) == 0.0
    assert fresh.predictor.embeddings.mask_tokens.shape[0] == 2


def test_targets_have_no_scale_of_their_own(model: JointEmbeddingPredictor) -> None:
    clips, _ = drawn(model)
    wanted = model.targets(clips)
    torch.testing.assert_close(wanted.mean(-1), torch.zeros(wanted.shape[:2]), atol=1e-5, rtol=0)
    torch.testing.assert_close(F.layer_norm(wanted, (48,)), wanted, atol=1e-4, rtol=1e-4)


def test_what_jepa_cannot_train_is_refused() -> None:
    with pytest.raises(ValueError, match="family 'vjepa2'"):
        JointEmbeddingPredictor(VideoEncoderConfig("videomae"), SETTINGS)
    with pytest.raises(ValueError, match="multiple of heads"):
        Prediction(width=24, heads=5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Prediction(keep=1.5)
