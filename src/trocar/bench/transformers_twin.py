"""transformers' Sam2VideoModel with the sizes and the weights of one of our networks, to be held against it.

Parity tests compare numbers, `trocar bench speed --beside transformers` time. transformers is imported here only, when
a twin is made; it comes with the extra `dev`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from trocar.model.checkpoint import load_tensors
from trocar.model.config import NetworkConfig
from trocar.model.key_map import upstream_name
from trocar.model.network import Network

POINT_CODES = 4  # transformers keeps them in one table, we in four vectors
SEED = 7


def twin_model(config: NetworkConfig) -> Any:
    """A Sam2VideoModel of these sizes, every tensor drawn at random (its own initialisation leaves many at zero).

    Raises:
        ValueError: it has no such network, or transformers is not installed.
    """
    transformers = _transformers()
    if not config.remembers or config.dense_prompts or config.mask_prior or config.semantic:
        raise ValueError(
            f"transformers has no network like {config.name}, which is not SAM 2 as it was released: choose one that "
            "is, such as sam2.1-tiny"
        )
    side, dim = config.image_size, config.hidden_dim
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
        fpn_hidden_size=dim,
    )
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
    """Give a model of transformers, SAM 2 or SAM, random weights."""
    generator = torch.Generator().manual_seed(SEED)
    for name, tensor in model.state_dict().items():
        # norms near one, everything else of a size that keeps activations moving through all layers
        fan = tensor[0].numel() if tensor.ndim > 1 and "emb" not in name and "token" not in name else 4
        noise = torch.randn(tensor.shape, generator=generator) / fan**0.5
        tensor.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else noise)
    _share_frequencies(model)


def drawn_pair(config: NetworkConfig, presence: float = 0.0) -> tuple[Any, Network]:
    """A twin and our network with its random weights.

    Args:
        config: of both.
        presence: added to the logit that says whether the object is there.
    """
    model, network = twin_model(config), Network(config).eval()
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias += presence
    load_tensors(network, model.state_dict(), "transformers")
    return model, network


@torch.no_grad()
def twin_of(network: Network, side: int) -> Any:
    """A Sam2VideoModel with this network's weights, for a square input of `side` pixels.

    Raises:
        ValueError: as `twin_model`.
    """
    model = twin_model(replace(network.config, image_size=side))
    theirs = model.state_dict()
    codes: dict[int, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        where = upstream_name(name, "transformers", network.config.family)
        stem, _, number = where.rpartition(".")
        if stem == "prompt_encoder.point_embed" and number.isdigit():
            codes[int(number)] = tensor.reshape(-1)
        else:
            theirs[where].copy_(tensor.reshape(theirs[where].shape))
    theirs["prompt_encoder.point_embed.weight"].copy_(torch.stack([codes[i] for i in range(POINT_CODES)]))
    _share_frequencies(model)
    return model


def _share_frequencies(model: Any) -> None:
    """Published files hold two equal copies of the position frequencies."""
    model.shared_image_embedding.positional_embedding.copy_(model.prompt_encoder.shared_embedding.positional_embedding)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError("transformers is not installed: pip install transformers, or trocar[dev]") from error
    return transformers
