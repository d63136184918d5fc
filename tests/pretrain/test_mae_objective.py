"""MAE's loss is that of an independent computation; nothing that is hidden reaches what is painted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from trocar.model.video_encoder import VideoEncoderConfig
from trocar.pretrain.mae import MaskedAutoencoder, Reconstruction
from trocar.pretrain.objective import hidden_gradient, spread

CONFIG = VideoEncoderConfig("videomae", width=48, depth=2, heads=4, side=32, frames=4, patch=8, tubelet=2)
SETTINGS = Reconstruction(0.75, width=24, depth=1, heads=2)


@pytest.fixture(scope="module")
def model() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(CONFIG, SETTINGS)


def drawn(model: MaskedAutoencoder) -> tuple[Tensor, Any]:
    clips = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    rngs = [np.random.default_rng(number) for number in range(2)]
    return clips, model.draw_masks(np.random.default_rng(0), rngs)


def test_the_loss_is_the_mean_square_of_what_an_independent_computation_misses(model: MaskedAutoencoder) -> None:
    clips, masks = drawn(model)
    with torch.no_grad():
        asked = model(clips, masks)
        hidden = torch.zeros(2, 32, dtype=torch.bool).scatter(1, masks[0].hidden, True)
        normal = (clips - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
            3, 1, 1
        )
        painted = model.network(normal, hidden).logits.double().numpy()
    errors = []
    for clip in range(2):
        for place, token in enumerate(masks[0].hidden[clip].tolist()):
            slot, row, column = token // 16, token % 16 // 4, token % 4
            cube = clips[clip, 2 * slot : 2 * slot + 2, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            pixels = cube.double().numpy().transpose(0, 2, 3, 1).reshape(128, 3)  # frame, row, column; colour
            target = (pixels - pixels.mean(0)) / (pixels.std(0, ddof=1) + 1e-6)
            errors.append((painted[clip, place] - target.ravel()) ** 2)
    assert float(asked.loss) == pytest.approx(np.mean(errors), rel=1e-6)
    assert asked.figures["visible"] == 0.25


def test_nothing_hidden_reaches_the_painting_and_the_watch_would_see_it(model: MaskedAutoencoder) -> None:
    clips, masks = drawn(model)
    assert model.leak(clips, masks) == 0.0
    seeing = clips.clone().requires_grad_()
    assert hidden_gradient(model.encoder(seeing), seeing, masks[0].hidden, model.encoder) > 0


def test_fresh_weights_are_xaviers_and_the_encoder_shares_them(model: MaskedAutoencoder) -> None:
    for module in model.network.modules():
        if isinstance(module, nn.Linear | nn.Conv3d):
            rows = module.weight.detach().flatten(1)
            bound = (6 / sum(rows.shape)) ** 0.5
            assert 0.9 * bound < float(rows.abs().max()) <= bound
    own = {id(one) for one in model.parameters()}
    assert {id(one) for one in model.encoder.parameters()} < own
    assert model.network.videomae.layernorm is not None, "the layout for pretraining has a last norm"


def test_every_parameter_learns(model: MaskedAutoencoder) -> None:
    model.zero_grad()
    clips, masks = drawn(model)
    model(clips, masks).loss.backward()
    assert [name for name, one in model.named_parameters() if one.grad is None] == []


def test_what_mae_cannot_train_is_refused() -> None:
    with pytest.raises(ValueError, match="family 'videomae'"):
        MaskedAutoencoder(VideoEncoderConfig("vjepa2"), SETTINGS)
    with pytest.raises(ValueError, match="hides 0 of 16 places"):
        MaskedAutoencoder(CONFIG, Reconstruction(0.01, width=24, depth=1, heads=2))
    with pytest.raises(ValueError, match="no multiple of heads"):
        MaskedAutoencoder(CONFIG, Reconstruction(0.75, width=25, depth=1, heads=2))


def test_the_spread_of_features_tells_collapse() -> None:
    same = spread(torch.ones(4, 16, 8))
    assert (same["feature_std"], same["clip_std"]) == (0.0, 0.0)
    places = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    of_the_place = spread(places.expand(4, -1, -1))
    assert of_the_place["clip_std"] == 0.0
    assert of_the_place["feature_std"] > 0.5
    line = spread((torch.arange(64.0)[:, None] * torch.ones(8)).view(2, 32, 8))
    assert line["feature_rank"] == pytest.approx(1.0, abs=1e-3)
    assert line["feature_std"] == pytest.approx(np.std(np.arange(64), ddof=1), rel=1e-5)
    assert line["clip_std"] == pytest.approx(32 / 2**0.5), "each token of the second clip is 32 above the first's"
    even = spread(torch.cat((torch.eye(8), -torch.eye(8))).view(2, 8, 8))
    assert even["feature_rank"] == pytest.approx(8.0, rel=1e-4)


def test_the_layers_are_those_of_transformers(model: MaskedAutoencoder) -> None:
    assert type(model.network) is transformers.VideoMAEForPreTraining
