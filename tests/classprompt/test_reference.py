"""PerSAM: likeness and clicks by hand, guidance that changes nothing when it says nothing, weights that learn."""

from __future__ import annotations

import pytest
import torch

from trocar.classprompt.reference import likeness, mask_loss, reference_of, segment_like, weigh_candidates
from trocar.model.config import tiny_random, tiny_sam
from trocar.model.layers import Attention
from trocar.model.mask_decoder import Guidance
from trocar.model.network import Network
from trocar.model.sam1 import make_network
from trocar.model.tensors import ImageFeatures


@pytest.fixture(scope="module", params=[tiny_random, tiny_sam], ids=["sam2", "sam"])
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return make_network(request.param()).eval()


def features_of(network: Network, seed: int = 0) -> ImageFeatures:
    side = network.config.image_size
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return network.encode_image(images)


def a_mask(network: Network) -> torch.Tensor:
    side = network.config.image_size
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[16:32, 16:48] = True
    return mask


def test_the_target_is_the_mean_of_the_cells_in_the_mask_and_they_are_most_like_it() -> None:
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0] = 1.0
    maps[0, :, 1, 1:3] = torch.tensor([0.0, 3.0])[:, None]
    features = ImageFeatures(maps[:, :0], maps[:, :0], maps)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[16:32, 16:48] = True  # exactly the two cells
    reference = reference_of(features, mask)
    assert reference.target.tolist() == [0.0, 3.0]
    assert reference.direction.tolist() == [0.0, 1.0]
    alike = likeness(features, reference)
    assert alike.shape == (64, 64)
    row, column = divmod(int(alike.argmax()), 64)
    assert 16 <= row < 32
    assert 16 <= column < 48
    assert alike.max().item() == pytest.approx(1 - 1 / 32), "half a pixel of 16 off the cells' middle"
    assert likeness(features, reference, (32, 64)).shape == (32, 64)


def test_an_empty_reference_is_refused(network: Network) -> None:
    with pytest.raises(ValueError, match="reference mask is empty"):
        reference_of(features_of(network), torch.zeros(64, 64))


def test_the_answer_is_a_mask_of_the_network_and_repeats(network: Network) -> None:
    features, side = features_of(network), network.config.image_size
    reference = reference_of(features, a_mask(network))
    answer = segment_like(network, features_of(network, 1), reference)
    assert answer.logits.shape == (side // 4, side // 4)
    assert torch.equal(answer.logits, segment_like(network, features_of(network, 1), reference).logits)


def test_the_two_weights_learn_on_the_reference_and_the_network_does_not(network: Network) -> None:
    before = {name: one.clone() for name, one in network.state_dict().items()}
    reference = weigh_candidates(network, features_of(network), a_mask(network), steps=60)
    assert reference.weights is not None
    assert reference.weights.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert not torch.allclose(reference.weights, torch.full((3,), 1 / 3), atol=1e-3)
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    answer = segment_like(network, features_of(network, 1), reference)
    assert torch.isfinite(answer.logits).all()


def test_guidance_is_added_to_attention_and_normalised_again() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2)
    q, k = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    plain = attention(q, k, k)
    far = torch.full((1, 5), -1e4)
    far[0, 2] = 0.0
    assert torch.allclose(attention(q, k, k, places=far), attention(q, k[:, 2:3], k[:, 2:3]), atol=1e-5), (
        "one place alone"
    )
    flat = attention(q, k, k, places=torch.zeros(1, 5))
    assert not torch.allclose(flat, plain), "a second softmax flattens what the first one found, as in the release"


def test_the_target_reaches_the_tokens(network: Network) -> None:
    features = features_of(network)
    dim, (height, width) = network.config.hidden_dim, features.stride16.shape[-2:]
    tokens = torch.randn(1, 2, dim, generator=torch.Generator().manual_seed(3))
    parts = (features.stride16, features.stride4, features.stride8, tokens)
    place = network.prompt_encoder.grid(height, width)
    none = Guidance(torch.zeros(1, height * width), torch.zeros(1, 1, dim))
    some = Guidance(torch.zeros(1, height * width), torch.ones(1, 1, dim))
    with torch.no_grad():
        first, second = (network.mask_decoder(*parts, place, one)[0] for one in (none, some))
    assert not torch.allclose(first, second)


def test_the_loss_of_a_perfect_mask_is_nearly_none_and_of_its_opposite_is_large() -> None:
    truth = torch.tensor([1.0, 0.0, 1.0, 0.0])
    logits = (truth * 2 - 1) * 20
    assert mask_loss(logits, truth).item() == pytest.approx(0.0, abs=1e-6)
    # Dice: 1 - (0 + 1) / (2 + 2 + 1); focal: a quarter and three quarters of 20, weighed by 1, in equal number.
    assert mask_loss(-logits, truth).item() == pytest.approx(0.8 + 0.5 * 20, rel=1e-4)
