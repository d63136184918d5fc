"""Pairs of networks with the same random weights: transformers' Sam2VideoModel or SamModel, and ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trocar.bench.transformers_twin import draw, drawn_pair
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


@pytest.fixture(scope="session")
def hf_pair() -> Callable[[str], tuple[Any, Network]]:
    """`hf_pair(version)` for version '2.0' or '2.1' -> (transformers' video model, our network), equal weights."""
    made: dict[str, tuple[Any, Network]] = {}

    def pair(version: str) -> tuple[Any, Network]:
        if version not in made:
            pytest.importorskip("transformers", reason="parity needs transformers (pip install trocar[dev])")
            made[version] = drawn_pair(small_config(version))
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
