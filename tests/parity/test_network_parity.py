"""Our network against transformers' Sam2VideoModel, part by part, on tiny random weights in float32.

Where transformers and Meta's release disagree, ours follows the release, and the test says so.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from trocar.model import MemoryTokens, Network, PromptTensors, no_prompt

TOLERANCE = 1e-4  # of the largest value
SIDE = 128


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    scale = theirs.abs().max().clamp(min=1e-6)
    assert float((ours - theirs).abs().max() / scale) < TOLERANCE


@pytest.fixture(scope="module", params=["2.0", "2.1"])
def pair(request: pytest.FixtureRequest, hf_pair: Any) -> tuple[Any, Network]:
    return hf_pair(request.param)


@pytest.fixture(autouse=True)
def _still() -> Any:
    torch.manual_seed(3)
    with torch.no_grad():
        yield


def test_image_encoder(pair: tuple[Any, Network]) -> None:
    model, network = pair
    theirs = model.get_image_features(images := torch.randn(2, 3, SIDE, SIDE)).fpn_hidden_states
    ours = network.encode_image(images)
    for mine, flat in zip((ours.stride4, ours.stride8, ours.stride16), theirs, strict=True):
        side = int(flat.shape[0] ** 0.5)
        assert_close(mine, flat.permute(1, 2, 0).unflatten(2, (side, side)))


@pytest.mark.parametrize(("spatial", "pointers"), [(1, 0), (3, 1), (7, 16)])
def test_memory_attention(pair: tuple[Any, Network], spatial: int, pointers: int) -> None:
    """Slots, places, pointer tokens and their time code; distances of both signs, and beyond the bound."""
    model, network = pair
    config, rows = network.config, 2
    stride16 = torch.randn(rows, config.hidden_dim, 8, 8)
    maps = torch.randn(rows, spatial, config.memory_dim, 8, 8)
    slots = torch.arange(spatial).flip(0)
    vectors = torch.randn(rows, pointers, config.hidden_dim)
    offsets = [20.0, -2.0, *(float(i) for i in range(1, 15))][:pointers]
    distance = (torch.tensor(offsets) / (config.max_pointers - 1)).expand(rows, -1)
    ones = torch.ones(rows, spatial), torch.ones(rows, pointers)
    spatial_memories = [[network.project_memory(one) for one in row] for row in maps]
    tokens = MemoryTokens(spatial_memories, slots.expand(rows, -1), ones[0], vectors, distance, ones[1])

    place = model.memory_encoder.position_encoding((rows, config.memory_dim, 8, 8), maps.device, maps.dtype)
    memory = [maps[:, i].flatten(2).permute(2, 0, 1) for i in range(spatial)]
    keys = [place.flatten(2).permute(2, 0, 1) + model.memory_temporal_positional_encoding[slot] for slot in slots]
    if pointers:
        cut, codes = model._process_object_pointers(
            offsets, list(vectors.unbind(1)), config.max_pointers, rows, config.hidden_dim, maps.device
        )
        memory.append(cut)
        keys.append(codes)
    query_place = model.vision_encoder.neck.position_encoding(stride16.shape, stride16.device, stride16.dtype)
    theirs = model.memory_attention(
        current_vision_features=stride16.flatten(2).permute(2, 0, 1),
        current_vision_position_embeddings=query_place.flatten(2).permute(2, 0, 1),
        memory=torch.cat(memory),
        memory_posision_embeddings=torch.cat(keys),
        num_object_pointer_tokens=pointers * config.hidden_dim // config.memory_dim,
    )
    assert_close(network.attend(stride16, tokens), theirs[0].transpose(1, 2).unflatten(2, (8, 8)))


def test_first_frame_adds_the_no_memory_embedding(pair: tuple[Any, Network]) -> None:
    model, network = pair
    stride16 = torch.randn(2, network.config.hidden_dim, 8, 8)
    assert_close(network.attend(stride16, None), stride16 + model.no_memory_embedding.reshape(1, -1, 1, 1))


PROMPTS = {
    "nothing": no_prompt(2),
    "one click": PromptTensors(torch.tensor([[[20.0, 31.5]], [[90.0, 4.0]]]), torch.tensor([[1], [0]])),
    "box and clicks": PromptTensors(
        torch.tensor([[[10.0, 12.0], [70.5, 99.0], [30.0, 40.0], [3.0, 5.0]]]).repeat(2, 1, 1),
        torch.tensor([[2, 3, 1, 0], [2, 3, 1, -1]]),
    ),
    "mask and click": PromptTensors(
        torch.tensor([[[64.0, 64.0]], [[1.0, 127.0]]]),
        torch.tensor([[1], [1]]),
        torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1)).clamp(-32, 32),
    ),
}


def decoder_inputs(network: Network) -> tuple[Tensor, Tensor, Tensor]:
    dim = network.config.hidden_dim
    return torch.randn(2, dim, 8, 8), torch.randn(2, dim // 8, 32, 32), torch.randn(2, dim // 4, 16, 16)


def decode_theirs(
    model: Any, fused: Tensor, stride4: Tensor, stride8: Tensor, prompts: PromptTensors, mode: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Masks, predicted IoU, object score and pointers of transformers' prompt encoder, decoder and pointer head."""
    sparse, dense = model.prompt_encoder(prompts.points[:, None], prompts.labels[:, None], None, prompts.mask_logits)
    model.mask_decoder.dynamic_multimask_via_stability = mode == "single with fallback"
    masks, iou, tokens, score = model.mask_decoder(
        image_embeddings=fused,
        image_positional_embeddings=model.get_image_wide_positional_embeddings().repeat(2, 1, 1, 1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=mode == "multimask",
        high_resolution_features=[stride4, stride8],
    )
    return masks[:, 0], iou[:, 0], score[:, 0, 0], model.object_pointer_proj(tokens)[:, 0]


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS.keys())
@pytest.mark.parametrize("mode", ["multimask", "single", "single with fallback"])
def test_decoder(pair: tuple[Any, Network], prompts: PromptTensors, mode: str) -> None:
    model, network = pair
    inputs = decoder_inputs(network)
    theirs = decode_theirs(model, *inputs, prompts, mode)
    ours = network.decode(*inputs, prompts, mode == "multimask", mode == "single with fallback")
    for mine, other in zip((ours.masks, ours.iou, ours.object_score, ours.pointers), theirs, strict=True):
        assert_close(mine, other)


def test_unstable_mask_falls_back(pair: tuple[Any, Network]) -> None:
    """Both single-mask heads scaled down, so that every single mask lies within the rule's +-0.05 and is replaced."""
    model, network = copy.deepcopy(pair)
    for last in (
        model.mask_decoder.output_hypernetworks_mlps[0].proj_out,
        network.mask_decoder.mask_heads[0].layers[2],
    ):
        last.weight.mul_(1e-3)
        last.bias.mul_(1e-3)
    inputs = decoder_inputs(network)
    theirs = decode_theirs(model, *inputs, no_prompt(2), "single with fallback")
    ours = network.decode(*inputs, no_prompt(2), multimask=False, stability_fallback=True)
    assert_close(ours.masks, theirs[0])
    assert_close(ours.iou, theirs[1])
    assert_close(ours.pointers, theirs[3])
    assert not torch.equal(ours.masks, network.decode(*inputs, no_prompt(2), multimask=False).masks)


def test_memory_encoder(pair: tuple[Any, Network]) -> None:
    """Present and absent rows. transformers rounds the stored memory to bfloat16 here; the release's arithmetic up to
    that point is float32, so the module itself is compared, and the absence vector added by hand.
    """
    model, network = pair
    stride16 = torch.randn(2, network.config.hidden_dim, 8, 8)
    mask = torch.rand(2, 1, SIDE, SIDE)
    theirs, _ = model.memory_encoder(stride16, mask * 20 - 10)
    if network.config.absent_memory:
        theirs = (
            theirs
            + torch.tensor([0.0, 1.0])[:, None, None, None]
            * (model.occlusion_spatial_embedding_parameter[..., None, None])
        )
    assert_close(network.encode_memory(stride16, mask, torch.tensor([True, False])), theirs)


def test_mask_prompt_becomes_a_dense_prompt(pair: tuple[Any, Network]) -> None:
    model, network = pair
    mask = (torch.rand(2, 1, SIDE, SIDE) > 0.5).float()
    assert_close(network.downsample_mask(mask), model.mask_downsample(mask))


def test_absent_pointer(pair: tuple[Any, Network]) -> None:
    assert torch.equal(pair[1].absent_pointer, pair[0].no_object_pointer)
