"""Pairs of networks with the same random weights: transformers' Sam2VideoModel or SamModel, and ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trocar.model.checkpoint import load_tensors
from trocar.model.config import NetworkConfig, tiny_sam
from trocar.model.network import Network
from trocar.model.sam1 import make_network

SIDE = 128  # pixels; the stride-16 map is 8 x 8


def small_config(version: str) -> NetworkConfig:
    """Every part of the published networks, in small: windows that need padding, global blocks, two heads, 2 layers."""
    new = version == "2.1"
    return NetworkConfig(
        f"parity-{version}",
        image_size=SIDE,
        embed_dim=16,
        num_heads=2,
        blocks=(1, 2, 3, 1),
        windows=(8, 4, 6, 3),
        global_blocks=(4,),
        hidden_dim=128,
        memory_layers=2,
        memory_mlp_dim=96,
        decoder_heads=4,
        decoder_mlp_dim=80,
        iou_hidden_dim=48,
        pointer_time_code=new,
        signed_pointer_distance=new,
        absent_memory=new,
    )


def transformers_model(config: NetworkConfig) -> Any:
    """A Sam2VideoModel of these sizes, every tensor drawn at random (its own initialisation leaves many at zero)."""
    transformers = pytest.importorskip("transformers", reason="parity needs transformers (pip install trocar[dev])")
    side = config.image_size
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=config.embed_dim,
        num_attention_heads=config.num_heads,
        image_size=[side, side],
        blocks_per_stage=list(config.blocks),
        embed_dim_per_stage=list(config.stage_dims),
        num_attention_heads_per_stage=[config.num_heads * 2**i for i in range(4)],
        window_size_per_stage=list(config.windows),
        global_attention_blocks=list(config.global_blocks),
        window_positional_embedding_background_size=[config.position_size] * 2,
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(config.stage_dims)),
        backbone_feature_sizes=[[side // s, side // s] for s in (4, 8, 16)],
        fpn_hidden_size=config.hidden_dim,
    )
    dim = config.hidden_dim
    whole = transformers.Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": dim, "image_size": side},
        mask_decoder_config={
            "hidden_size": dim,
            "mlp_dim": config.decoder_mlp_dim,
            "num_attention_heads": config.decoder_heads,
            "iou_head_hidden_dim": config.iou_hidden_dim,
        },
        image_size=side,
        memory_attention_hidden_size=dim,
        memory_attention_num_layers=config.memory_layers,
        memory_attention_feed_forward_hidden_size=config.memory_mlp_dim,
        memory_attention_rope_feat_sizes=[side // 16, side // 16],
        memory_encoder_hidden_size=dim,
        memory_encoder_output_channels=config.memory_dim,
        mask_downsampler_embed_dim=dim,
        memory_fuser_embed_dim=dim,
        memory_fuser_intermediate_dim=4 * dim,
        enable_temporal_pos_encoding_for_object_pointers=config.pointer_time_code,
        enable_occlusion_spatial_embedding=config.absent_memory,
    )
    model = transformers.Sam2VideoModel(whole).eval()
    draw(model)
    return model


@torch.no_grad()
def draw(model: Any) -> None:
    """Give a model random weights."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        # norms near one, everything else of a size that keeps activations moving through all layers
        fan = tensor[0].numel() if tensor.ndim > 1 and "emb" not in name and "token" not in name else 4
        noise = torch.randn(tensor.shape, generator=generator) / fan**0.5
        tensor.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else noise)
    # published files hold two equal copies of the position frequencies
    model.shared_image_embedding.positional_embedding.copy_(model.prompt_encoder.shared_embedding.positional_embedding)


@pytest.fixture(scope="session")
def hf_pair() -> Callable[[str], tuple[Any, Network]]:
    """`hf_pair(version)` for version '2.0' or '2.1' -> (transformers' video model, our network), equal weights."""
    made: dict[str, tuple[Any, Network]] = {}

    def pair(version: str) -> tuple[Any, Network]:
        if version not in made:
            config = small_config(version)
            model = transformers_model(config)
            network = Network(config).eval()
            load_tensors(network, model.state_dict(), f"transformers {version}")
            made[version] = (model, network)
        return made[version]

    return pair


def transformers_sam(config: NetworkConfig) -> Any:
    """A SamModel of these sizes, drawn at random."""
    transformers = pytest.importorskip("transformers", reason="parity needs transformers (pip install trocar[dev])")
    side, dim = config.image_size, config.hidden_dim
    (depth,), (window,) = config.blocks, config.windows
    whole = transformers.SamConfig(
        vision_config={
            "hidden_size": config.embed_dim,
            "output_channels": dim,
            "num_hidden_layers": depth,
            "num_attention_heads": config.num_heads,
            "image_size": side,
            "window_size": window,
            "global_attn_indexes": list(config.global_blocks),
            "num_pos_feats": dim // 2,
        },
        prompt_encoder_config={"hidden_size": dim, "image_size": side},
        mask_decoder_config={
            "hidden_size": dim,
            "mlp_dim": config.decoder_mlp_dim,
            "num_attention_heads": config.decoder_heads,
            "iou_head_hidden_dim": config.iou_hidden_dim,
            "layer_norm_eps": 1e-5,  # the release's, where transformers' default is 1e-6
        },
    )
    model = transformers.SamModel(whole).eval()
    draw(model)
    return model


@pytest.fixture(scope="session")
def sam_pair() -> tuple[Any, Network]:
    """transformers' SamModel and our network with its weights; maps of 6 x 6 cells, windows of 4 x 4."""
    config = tiny_sam()
    model = transformers_sam(config)
    network = make_network(config).eval()
    load_tensors(network, model.state_dict(), "transformers SAM")
    return model, network
