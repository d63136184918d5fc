"""SAM's promises: the verbs of SAM 2 without a memory, and weights under the release's true names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from trocar.model import Network, PromptTensors, no_prompt, tiny_random
from trocar.model.checkpoint import WeightsError, load_tensors, load_weights, open_network, save_weights
from trocar.model.config import SAM_VIT_B, tiny_sam
from trocar.model.key_map import upstream_name
from trocar.model.sam1 import SamNetwork, make_network
from trocar.model.tensors import MemoryTokens


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return make_network(tiny_sam()).eval()


def release_shapes(dim: int, depth: int, heads: int, cells: int, window: int, wide: set[int]) -> dict[str, list[int]]:
    """Names and shapes of a `sam_vit_*.pth`, as the modules of segment_anything define them."""
    shapes: dict[str, list[int]] = {}

    def layer(name: str, *weight: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = list(weight)
        if bias:
            shapes[f"{name}.bias"] = [weight[1] if "output_upscaling" in name and len(weight) > 1 else weight[0]]

    encoder, prompt, decoder = "image_encoder", "prompt_encoder", "mask_decoder"
    shapes[f"{encoder}.pos_embed"] = [1, cells, cells, dim]
    layer(f"{encoder}.patch_embed.proj", dim, 3, 16, 16)
    for i in range(depth):
        block, side = f"{encoder}.blocks.{i}", cells if i in wide else window
        for axis in "hw":
            shapes[f"{block}.attn.rel_pos_{axis}"] = [2 * side - 1, dim // heads]
        layer(f"{block}.norm1", dim)
        layer(f"{block}.norm2", dim)
        layer(f"{block}.attn.qkv", 3 * dim, dim)
        layer(f"{block}.attn.proj", dim, dim)
        layer(f"{block}.mlp.lin1", 4 * dim, dim)
        layer(f"{block}.mlp.lin2", dim, 4 * dim)
    layer(f"{encoder}.neck.0", 256, dim, 1, 1, bias=False)
    layer(f"{encoder}.neck.1", 256)
    layer(f"{encoder}.neck.2", 256, 256, 3, 3, bias=False)
    layer(f"{encoder}.neck.3", 256)
    shapes[f"{prompt}.pe_layer.positional_encoding_gaussian_matrix"] = [2, 128]
    for name in (*(f"point_embeddings.{i}" for i in range(4)), "not_a_point_embed", "no_mask_embed"):
        layer(f"{prompt}.{name}", 1, 256, bias=False)
    for name, weight in {"0": (4, 1, 2, 2), "1": (4,), "3": (16, 4, 2, 2), "4": (16,), "6": (256, 16, 1, 1)}.items():
        layer(f"{prompt}.mask_downscaling.{name}", *weight)
    layer(f"{decoder}.iou_token", 1, 256, bias=False)
    layer(f"{decoder}.mask_tokens", 4, 256, bias=False)
    attentions = {f"layers.{i}.self_attn": 256 for i in range(2)}
    attentions |= {
        f"layers.{i}.cross_attn_{way}": 128 for i in range(2) for way in ("token_to_image", "image_to_token")
    }
    for name, inner in (attentions | {"final_attn_token_to_image": 128}).items():
        for part in "qkv":
            layer(f"{decoder}.transformer.{name}.{part}_proj", inner, 256)
        layer(f"{decoder}.transformer.{name}.out_proj", 256, inner)
    for i in range(2):
        for j in range(1, 5):
            layer(f"{decoder}.transformer.layers.{i}.norm{j}", 256)
        layer(f"{decoder}.transformer.layers.{i}.mlp.lin1", 2048, 256)
        layer(f"{decoder}.transformer.layers.{i}.mlp.lin2", 256, 2048)
    layer(f"{decoder}.transformer.norm_final_attn", 256)
    for name, weight in {"0": (256, 64, 2, 2), "1": (64,), "3": (64, 32, 2, 2)}.items():
        layer(f"{decoder}.output_upscaling.{name}", *weight)
    for head, last in {**{f"output_hypernetworks_mlps.{i}": 32 for i in range(4)}, "iou_prediction_head": 4}.items():
        for j, width in enumerate((256, 256, last)):
            layer(f"{decoder}.{head}.layers.{j}", width, 256)
    return shapes


def as_release(network: Network) -> dict[str, Tensor]:
    return {upstream_name(name, "release", "sam"): tensor.clone() for name, tensor in network.state_dict().items()}


def equal(a: Network, b: Network) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


def test_vit_b_has_the_tensors_of_the_release() -> None:
    """All 314 of sam_vit_b_01ec64.pth, by name and shape."""
    with torch.device("meta"):
        ours = {name: list(t.shape) for name, t in as_release(make_network(SAM_VIT_B)).items()}
    theirs = release_shapes(768, 12, 12, 64, 14, {2, 5, 8, 11})
    assert len(theirs) == 314
    assert set(ours) == set(theirs)
    for name, shape in theirs.items():
        assert [n for n in ours[name] if n != 1] == [n for n in shape if n != 1], name


def test_release_files_load(network: Network, tmp_path: Path) -> None:
    """As SAM's are, a bare table, and as MedSAM's training leaves them, beside the optimiser's state."""
    for name, content in (("a.pth", as_release(network)), ("b.pth", {"model": as_release(network), "epoch": 3})):
        torch.save(content, tmp_path / name)
        other = make_network(network.config)
        load_weights(other, tmp_path / name)
        assert equal(other, network)


def test_own_file_brings_the_kind_of_network(network: Network, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "own.safetensors", {}, torch.float32)
    again = open_network(tmp_path / "own.safetensors")
    assert isinstance(again, SamNetwork)
    assert again.config == network.config
    assert equal(again, network)


def test_sam_and_sam2_are_told_apart(network: Network) -> None:
    sam2 = Network(tiny_random())
    with pytest.raises(WeightsError, match=r"holds no SAM 2 network \(it is one of SAM\)"):
        load_tensors(sam2, as_release(network), "sam.pth")
    with pytest.raises(WeightsError, match=r"holds no SAM network \(it is one of SAM 2\)"):
        load_tensors(network, sam2.state_dict(), "nano.safetensors")
    with pytest.raises(WeightsError, match=r"x\.pth holds no SAM network \(1 tensors under other names\)"):
        load_tensors(network, {"weight": torch.zeros(1)}, "x.pth")


def test_left_over_missing_and_misshapen_tensors_are_named(network: Network) -> None:
    tensors = as_release(network)
    tensors["stranger"] = tensors.pop("image_encoder.neck.0.weight")
    with pytest.raises(WeightsError, match=r"lacks image_encoder\.neck\.0\.weight; nothing takes stranger"):
        load_tensors(make_network(network.config), tensors, "x.pth")
    tensors = as_release(network)
    tensors["image_encoder.blocks.1.attn.rel_pos_h"] = torch.zeros(7, 24)
    with pytest.raises(WeightsError, match=r"blocks\.1\.attn\.rel_pos_h has shape \(7, 24\).*\(11, 24\)"):
        load_tensors(make_network(network.config), tensors, "x.pth")


def test_there_is_no_memory(network: Network) -> None:
    frame = network.encode_image(torch.zeros(1, 3, 96, 96))
    assert network.attend(frame.stride16, None) is frame.stride16
    empty = torch.zeros(1, 0)
    with pytest.raises(ValueError, match=r"'tiny-sam' has no memory.*policy 'none'"):
        network.attend(frame.stride16, MemoryTokens([[]], empty, None, torch.zeros(1, 0, 64), empty, empty))
    with pytest.raises(ValueError, match="'tiny-sam' has no memory"):
        network.project_memory(torch.zeros(64, 6, 6))
    with pytest.raises(ValueError, match="'tiny-sam' has no memory"):
        network.encode_memory(frame.stride16, torch.zeros(1, 1, 96, 96), torch.ones(1, dtype=torch.bool))


def test_shapes_of_what_is_decoded(network: Network) -> None:
    frames = network.encode_image(torch.randn(2, 3, 96, 96))
    assert (frames.stride4.shape, frames.stride8.shape) == ((2, 0, 24, 24), (2, 0, 12, 12))
    rows = frames.rows(torch.tensor([1, 0, 1]))
    prompts = PromptTensors(torch.rand(3, 2, 2) * 96, torch.tensor([[1, 0]]).expand(3, -1))
    for multimask, count in ((True, 3), (False, 1)):
        out = network.decode(rows.stride16, rows.stride4, rows.stride8, prompts, multimask)
        assert out.masks.shape == (3, count, 24, 24)
        assert out.iou.shape == (3, count)
        assert (out.object_score > 0).all()
        assert out.pointers.shape == (3, count, 64)


def test_clicks_are_padded_and_boxes_are_not(network: Network) -> None:
    """Rows of both kinds cannot share a call: there a row would depend on its neighbours."""
    encoder, places = network.prompt_encoder, torch.rand(2, 2, 2) * 96
    clicks, box = torch.tensor([[1, 0]]), torch.tensor([[2, 3]])
    assert encoder.points(PromptTensors(places, clicks.expand(2, -1)), 96).shape == (2, 3, 64)
    assert encoder.points(PromptTensors(places, box.expand(2, -1)), 96).shape == (2, 2, 64)
    assert encoder.points(PromptTensors(places[:, :0], clicks[:, :0].expand(2, -1)), 96).shape == (2, 0, 64)
    with pytest.raises(ValueError, match="different calls"):
        encoder.points(PromptTensors(places, torch.cat((clicks, box))), 96)


def test_a_row_does_not_depend_on_its_neighbours(network: Network) -> None:
    frames = network.encode_image(torch.randn(2, 3, 96, 96))
    rows = frames.rows(torch.tensor([0, 1]))
    prompts = PromptTensors(torch.rand(2, 2, 2) * 96, torch.tensor([[1, 0], [0, 1]]))
    both = network.decode(rows.stride16, rows.stride4, rows.stride8, prompts, multimask=True)
    for r in range(2):
        own, at = frames.rows(torch.tensor([r])), slice(r, r + 1)
        one = PromptTensors(prompts.points[at], prompts.labels[at])
        alone = network.decode(own.stride16, own.stride4, own.stride8, one, multimask=True)
        torch.testing.assert_close(alone.masks[0], both.masks[r], rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    network = make_network(tiny_sam())
    frame = network.encode_image(torch.randn(1, 3, 96, 96))
    parts = [network.downsample_mask(torch.ones(1, 1, 96, 96)), None]
    labels = [torch.tensor([[1, 0]]), torch.tensor([[2, 3]])]
    outputs = []
    for mask, label, multimask in zip(parts, labels, (True, False), strict=True):
        prompts = PromptTensors(torch.rand(1, 2, 2) * 96, label, mask)
        out = network.decode(frame.stride16, frame.stride4, frame.stride8, prompts, multimask)
        outputs += [out.masks.sum(), out.iou.sum()]
    torch.stack(outputs).sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    # a constant added to all keys of an attention moves no softmax
    assert [name for name in without if not name.endswith("k_proj.bias")] == []


def test_a_mask_becomes_logits_at_a_quarter_of_the_size(network: Network) -> None:
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., :8, :6] = 1
    logits = network.downsample_mask(mask)
    assert logits.shape == (1, 1, 24, 24)
    assert logits[0, 0, :2, 0].tolist() == [10, 10]
    assert logits[0, 0, 0, 1] == 0  # half of its 16 pixels
    assert logits[0, 0, 2:].max() == -10


@pytest.mark.parametrize("shape", [(1, 3, 96, 80), (1, 3, 100, 100)])
def test_wrong_image_sides_are_named(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        network.encode_image(torch.zeros(shape))


def test_an_unprompted_row_decodes(network: Network) -> None:
    frame = network.encode_image(torch.zeros(1, 3, 96, 96))
    out = network.decode(frame.stride16, frame.stride4, frame.stride8, no_prompt(1), multimask=True)
    assert torch.isfinite(out.masks).all()
