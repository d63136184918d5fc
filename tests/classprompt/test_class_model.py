"""Class models on SAM and SAM 2 networks: what learns, what stays, and files that fit or are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from trocar.classprompt import ClassModel, ClassPromptConfig, encoder_fingerprint, open_class_model, read_class_config
from trocar.model import NANO, Network, NetworkConfig, embedded_prompt, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.model.config import SAM_VIT_H, tiny_sam
from trocar.model.sam1 import make_network

NAMES = ("hook", "grasper", "scissors")


def config_for(config: NetworkConfig, **settings: object) -> ClassPromptConfig:
    cells = (config.image_size // 16) ** 2
    return ClassPromptConfig(NAMES, config.hidden_dim, cells, config.image_size, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[tiny_random(), tiny_sam()], ids=lambda config: str(config.family))
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return make_network(request.param).eval()


@pytest.fixture
def model(network: Network) -> ClassModel:
    torch.manual_seed(1)
    return ClassModel(config_for(network.config), network).eval()


@torch.no_grad()
def test_masks_of_an_untrained_decoder_are_the_networks_own(network: Network, model: ClassModel) -> None:
    side = network.config.image_size
    features = network.encode_image(torch.randn(2, 3, side, side))
    found = model.masks(network, features, [2, 0])
    assert found.logits.shape == (2, 2, side // 4, side // 4)
    assert found.quality.shape == found.object_score.shape == (2, 2)
    prompts = embedded_prompt(model.head.embed(features.stride16, torch.tensor([2, 2])))
    fused = network.attend(features.stride16, None)
    decoded = network.decode(fused, features.stride4, features.stride8, prompts, multimask=False)
    assert torch.allclose(found.logits[:, 0], decoded.masks[:, 0], atol=1e-5)
    assert torch.allclose(found.quality[:, 0], decoded.iou[:, 0], atol=1e-6)
    assert torch.allclose(found.object_score[:, 0], decoded.object_score, atol=1e-5)


def test_only_head_and_decoder_learn_and_the_rest_keeps_its_bytes(network: Network, model: ClassModel) -> None:
    side = network.config.image_size
    before = {name: one.clone() for name, one in network.state_dict().items()}
    frozen = {name: one.clone() for name, one in model.named_buffers()}
    still = {name: one.detach().clone() for name, one in model.named_parameters() if not one.requires_grad}
    learning = {name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad}
    with torch.no_grad():
        features = network.encode_image(torch.randn(2, 3, side, side))
    optimiser = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 1e-2)
    for _ in range(2):
        rows = model.answer(network, features, torch.tensor([0, 1]))
        optimiser.zero_grad()
        (rows.logits.square().mean() + rows.quality.mean()).backward()
        optimiser.step()
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(frozen[name], one) for name, one in model.named_buffers())
    now = dict(model.named_parameters())
    assert all(torch.equal(one, now[name]) for name, one in still.items())
    assert not torch.equal(learning["head.prototypes"], now["head.prototypes"])
    assert not torch.equal(learning["decoder.iou_token"], now["decoder.iou_token"])
    assert {"decoder.stride4_conv.weight", "decoder.stride8_conv.weight"} & set(learning) == set()
    fitted = {"likeness.middle", "likeness.whiten", "likeness.means"}  # by no gradient
    assert {"head.positive", "head.negative", "head.no_mask"} | fitted == set(frozen)


def test_the_signs_are_the_point_embeddings(network: Network, model: ClassModel) -> None:
    assert torch.equal(model.head.positive, network.prompt_encoder.point_codes[1][0])
    assert torch.equal(model.head.negative, network.prompt_encoder.point_codes[0][0])


def test_fixed_prototypes_do_not_learn(network: Network) -> None:
    model = ClassModel(config_for(network.config, prototypes="mean"), network)
    assert not model.head.prototypes.requires_grad


def test_surgicalsam_on_vit_h_has_the_papers_4_65_million_parameters() -> None:
    """Section 8.6: 4.65 M for tuning beside 637.03 M of the image encoder."""
    names = tuple(f"class {number}" for number in range(7))
    with torch.device("meta"):
        network = make_network(SAM_VIT_H)
        config = ClassPromptConfig(names, 256, 64 * 64, 1024, tokens=2, encoder="not known on the meta device")
        model = ClassModel(config, network)
    learning = sum(one.numel() for one in model.parameters() if one.requires_grad)
    # decoder 4,058,340; prototypes 7 * 256; dense 2 * 256 * 128 + 128 + 256; sparse 4096 * 128 + 128 + 128 * 2 + 2
    assert learning == 4_058_340 + 1_792 + 65_920 + 524_674 == 4_650_726
    assert round(learning / 1e6, 2) == 4.65
    vit = sum(one.numel() for name, one in network.named_parameters() if name.startswith("vit."))
    assert round(vit / 1e6, 2) == 637.03


def test_a_file_gives_back_the_same_masks(tmp_path: Path, network: Network, model: ClassModel) -> None:
    path = tmp_path / "three.safetensors"
    model.save(path, {"licence": "Apache-2.0"}, torch.float32)
    assert read_class_config(path) == model.config
    opened = open_class_model(path, network)
    assert not opened.training
    assert all(torch.equal(one, opened.state_dict()[name]) for name, one in model.state_dict().items())
    with_presence = replace(model.config, presence=((0.5, 1.0), (0.1, 2.0), (0.3, 4.0)))
    model.config = with_presence
    model.save(path)
    assert read_class_config(path) == with_presence


def test_another_image_encoder_is_refused(tmp_path: Path, network: Network, model: ClassModel) -> None:
    path = tmp_path / "three.safetensors"
    model.save(path)
    torch.manual_seed(5)
    other = make_network(network.config).eval()
    with pytest.raises(ValueError, match="another image encoder"):
        open_class_model(path, other)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():  # what is no part of the image encoder may differ
        next(other.mask_decoder.mask_heads.parameters()).add_(1)
    assert open_class_model(path, other).config == model.config
    assert encoder_fingerprint(other.half()) == model.config.encoder


def test_files_of_other_kinds_are_refused(tmp_path: Path, network: Network) -> None:
    with pytest.raises(FileNotFoundError):
        open_class_model(tmp_path / "none.safetensors", network)
    save_weights(network, tmp_path / "network.safetensors", {})
    with pytest.raises(ValueError, match="is not a class model"):
        open_class_model(tmp_path / "network.safetensors", network)


def test_a_file_from_before_masks_were_looked_into_is_refused(
    tmp_path: Path, network: Network, model: ClassModel
) -> None:
    path = tmp_path / "early.safetensors"
    model.save(path)
    with safe_open(path, framework="pt") as file:
        tensors, said = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file({name: one for name, one in tensors.items() if not name.startswith("likeness.")}, path, metadata=said)
    with pytest.raises(ValueError, match="by an earlier version, which did not look inside masks: train it again"):
        open_class_model(path, network)


def test_a_head_for_other_features_is_refused(network: Network) -> None:
    with pytest.raises(ValueError, match="96 channels does not fit"):
        ClassModel(replace(config_for(network.config), dim=96), network)


def test_heads_for_nano_are_small() -> None:
    with torch.device("meta"):
        network = make_network(NANO)
        names = tuple(f"class {number}" for number in range(20))
        model = ClassModel(ClassPromptConfig(names, 128, 256, 256, tokens=4, encoder="none"), network)
    assert sum(one.numel() for one in model.state_dict().values()) * 2 < 4_000_000  # bytes in half precision
