"""A class more from five labelled frames: the others answer to the bit as before, and the new one is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from trocar.classprompt import ClassModel, ClassPromptConfig, open_class_model
from trocar.classprompt.few_frames import add_class
from trocar.model import Network, tiny_random
from trocar.model.config import tiny_sam
from trocar.model.sam1 import make_network
from trocar.model.tensors import ImageFeatures

SIDE = 64


@pytest.fixture(scope="module", params=[tiny_random(), tiny_sam()], ids=lambda config: str(config.family))
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return make_network(request.param).eval()


@pytest.fixture(scope="module")
def model(network: Network) -> ClassModel:
    torch.manual_seed(1)
    side = network.config.image_size
    config = ClassPromptConfig(("hook", "grasper"), network.config.hidden_dim, (side // 16) ** 2, side)
    made = ClassModel(config, network).eval()
    made.config = made.head.config = ClassPromptConfig(
        **{**vars(config), "encoder": made.config.encoder, "presence": ((1.0,) * 7, (3.0,) * 7)}
    )
    return made


@pytest.fixture(scope="module")
def pictures(network: Network) -> tuple[ImageFeatures, torch.Tensor]:
    torch.manual_seed(2)
    side = network.config.image_size
    images, masks = torch.randn(5, 3, side, side), torch.zeros(5, side, side, dtype=torch.bool)
    for number in range(5):
        rows, columns = slice(4 * number, 4 * number + 24), slice(16, 48)
        images[number, :, rows, columns] += 3
        masks[number, rows, columns] = True
    with torch.no_grad():
        return network.encode_image(images), masks


@pytest.mark.parametrize("steps", [0, 5])
@torch.no_grad()
def test_the_others_answer_as_before_to_the_bit(
    network: Network, model: ClassModel, pictures: tuple[ImageFeatures, torch.Tensor], tmp_path: Path, steps: int
) -> None:
    features, masks = pictures
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with torch.enable_grad():
        made = add_class(model, network, "clip", features, masks, steps)
    made.save(tmp_path / "more.safetensors", dtype=torch.float32)
    again = open_class_model(tmp_path / "more.safetensors", network)
    assert again.config.names == ("hook", "grasper", "clip")
    assert again.config.presence[2] == (2.0,) * 7
    old = model.masks(network, features, [0, 1])
    for asked, place in (([0, 1], [0, 1]), ([1, 2, 0], [2, 0])):
        new = again.masks(network, features, asked)
        for name in ("logits", "quality", "object_score"):
            assert torch.equal(getattr(new, name)[:, place], getattr(old, name)), (asked, name)
    assert all(torch.equal(one, model.state_dict()[name]) for name, one in before.items())


@torch.no_grad()
def test_a_second_added_class_does_not_move_the_first(
    network: Network, model: ClassModel, pictures: tuple[ImageFeatures, torch.Tensor]
) -> None:
    features, masks = pictures
    one = add_class(model, network, "clip", features, masks)
    two = add_class(one, network, "suture", features, ~masks)
    assert two.config.added == 2
    first, second = one.masks(network, features, [2]), two.masks(network, features, [3, 2])
    assert torch.equal(first.logits[:, 0], second.logits[:, 1])
    assert not torch.equal(second.logits[:, 0], second.logits[:, 1])


@torch.no_grad()
def test_the_prototype_is_the_mean_direction_at_the_mean_length(
    network: Network, model: ClassModel, pictures: tuple[ImageFeatures, torch.Tensor]
) -> None:
    """On whole cells: a mask of the upper left cell takes that cell's feature."""
    features, masks = pictures
    corner = torch.zeros_like(masks)
    corner[:, :16, :16] = True
    prototypes = add_class(model, network, "clip", features, corner).head.prototypes
    wanted = F.normalize(features.stride16[:, :, 0, 0], dim=1).mean(0)
    assert torch.allclose(F.normalize(prototypes[2], dim=0), F.normalize(wanted, dim=0), atol=1e-5)
    assert float(prototypes[2].norm()) == pytest.approx(float(prototypes[:2].norm(dim=1).mean()), rel=1e-5)


def test_fitting_brings_the_masks_nearer(
    network: Network, model: ClassModel, pictures: tuple[ImageFeatures, torch.Tensor]
) -> None:
    features, masks = pictures

    def dice(made: ClassModel) -> float:
        with torch.no_grad():
            logits = made.masks(network, features, [2]).logits
        large = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear")[:, 0].sigmoid()
        return float((2 * (large * masks).sum() / (large.square().sum() + masks.sum())).mean())

    assert dice(add_class(model, network, "clip", features, masks, 30)) > dice(
        add_class(model, network, "clip", features, masks)
    )


def test_what_does_not_fit_is_refused(
    network: Network, model: ClassModel, pictures: tuple[ImageFeatures, torch.Tensor]
) -> None:
    features, masks = pictures
    with pytest.raises(ValueError, match="one name each"):
        add_class(model, network, "Hook", features, masks)
    with pytest.raises(ValueError, match="not on number 3"):
        add_class(model, network, "clip", features, masks & (torch.arange(5) != 3)[:, None, None])
    with pytest.raises(ValueError, match="do not fit 5 frames"):
        add_class(model, network, "clip", features, masks[:, ::2, ::2])
