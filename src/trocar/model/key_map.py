"""The names of every tensor in three layouts: ours, the release of SAM 2 or SAM, and Hugging Face transformers.

`#` stands for a number and keeps it. A row names a module, whose `weight` and `bias` keep their names, or one tensor.
"""

from __future__ import annotations

import re

Row = tuple[str, str, str]


def _attention(ours: str, release: str, transformers: str) -> list[Row]:
    """The four projections of an attention."""
    same = [(f"{ours}.{p}", f"{release}.{p}", f"{transformers}.{p}") for p in ("q_proj", "k_proj", "v_proj")]
    return [*same, (f"{ours}.out_proj", f"{release}.out_proj", f"{transformers}.o_proj")]


def _mlp(ours: str, release: str, transformers: str, depth: int) -> list[Row]:
    """The layers of an MLP, which transformers names by their place: first, between, last."""
    places = ["proj_in", *(f"layers.{i}" for i in range(depth - 2)), "proj_out"]
    return [(f"{ours}.layers.{i}", f"{release}.layers.{i}", f"{transformers}.{p}") for i, p in enumerate(places)]


def _lin(ours: str, release: str, transformers: str) -> list[Row]:
    """The two layers of an MLP as SAM and its conversion name them."""
    return [(f"{ours}.layers.{i}", f"{release}.lin{i + 1}", f"{transformers}.lin{i + 1}") for i in (0, 1)]


_TRUNK, _HF_TRUNK = "image_encoder.trunk", "vision_encoder.backbone"
_IMAGE_ENCODER: list[Row] = [
    ("image_encoder.patch", f"{_TRUNK}.patch_embed.proj", f"{_HF_TRUNK}.patch_embed.projection"),
    ("image_encoder.position", f"{_TRUNK}.pos_embed", f"{_HF_TRUNK}.pos_embed"),
    ("image_encoder.window_position", f"{_TRUNK}.pos_embed_window", f"{_HF_TRUNK}.pos_embed_window"),
    ("image_encoder.blocks.#.norm1", f"{_TRUNK}.blocks.#.norm1", f"{_HF_TRUNK}.blocks.#.layer_norm1"),
    ("image_encoder.blocks.#.attention.qkv", f"{_TRUNK}.blocks.#.attn.qkv", f"{_HF_TRUNK}.blocks.#.attn.qkv"),
    ("image_encoder.blocks.#.attention.proj", f"{_TRUNK}.blocks.#.attn.proj", f"{_HF_TRUNK}.blocks.#.attn.proj"),
    ("image_encoder.blocks.#.norm2", f"{_TRUNK}.blocks.#.norm2", f"{_HF_TRUNK}.blocks.#.layer_norm2"),
    *_mlp("image_encoder.blocks.#.mlp", f"{_TRUNK}.blocks.#.mlp", f"{_HF_TRUNK}.blocks.#.mlp", 2),
    ("image_encoder.blocks.#.shortcut", f"{_TRUNK}.blocks.#.proj", f"{_HF_TRUNK}.blocks.#.proj"),
    ("image_encoder.laterals.#", "image_encoder.neck.convs.#.conv", "vision_encoder.neck.convs.#"),
]

_LAYER = "memory_attention.layers.#"
_MEMORY_ATTENTION: list[Row] = [
    ("memory_attention.slot_codes", "maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    ("memory_attention.no_memory", "no_mem_embed", "no_memory_embedding"),
    ("memory_attention.pointer_time", "obj_ptr_tpos_proj", "temporal_positional_encoding_projection_layer"),
    *_attention(f"{_LAYER}.self_attention", f"{_LAYER}.self_attn", f"{_LAYER}.self_attn"),
    *_attention(f"{_LAYER}.cross_attention", f"{_LAYER}.cross_attn_image", f"{_LAYER}.cross_attn_image"),
    *((f"{_LAYER}.norm{i}", f"{_LAYER}.norm{i}", f"{_LAYER}.layer_norm{i}") for i in (1, 2, 3)),
    *((f"{_LAYER}.linear{i}", f"{_LAYER}.linear{i}", f"{_LAYER}.linear{i}") for i in (1, 2)),
    ("memory_attention.norm", "memory_attention.norm", "memory_attention.layer_norm"),
]

_DOWN, _FUSER, _HF_FUSER = "memory_encoder.mask_downsampler", "memory_encoder.fuser", "memory_encoder.memory_fuser"
_MEMORY_ENCODER: list[Row] = [
    *((f"memory_encoder.mask_convs.{i}", f"{_DOWN}.encoder.{3 * i}", f"{_DOWN}.layers.{i}.conv") for i in range(4)),
    *(
        (f"memory_encoder.mask_norms.{i}", f"{_DOWN}.encoder.{3 * i + 1}", f"{_DOWN}.layers.{i}.layer_norm")
        for i in range(4)
    ),
    ("memory_encoder.mask_projection", f"{_DOWN}.encoder.12", f"{_DOWN}.final_conv"),
    ("memory_encoder.feature_projection", "memory_encoder.pix_feat_proj", "memory_encoder.feature_projection"),
    (f"{_FUSER}.#.depthwise", f"{_FUSER}.layers.#.dwconv", f"{_HF_FUSER}.layers.#.depthwise_conv"),
    (f"{_FUSER}.#.norm", f"{_FUSER}.layers.#.norm", f"{_HF_FUSER}.layers.#.layer_norm"),
    (f"{_FUSER}.#.linear1", f"{_FUSER}.layers.#.pwconv1", f"{_HF_FUSER}.layers.#.pointwise_conv1"),
    (f"{_FUSER}.#.linear2", f"{_FUSER}.layers.#.pwconv2", f"{_HF_FUSER}.layers.#.pointwise_conv2"),
    (f"{_FUSER}.#.scale", f"{_FUSER}.layers.#.gamma", f"{_HF_FUSER}.layers.#.scale"),
    ("memory_encoder.out_projection", "memory_encoder.out_proj", "memory_encoder.projection"),
    ("memory_encoder.absent", "no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
]

_PROMPT, _HF_MASK = "sam_prompt_encoder", "prompt_encoder.mask_embed"
_PROMPT_ENCODER: list[Row] = [
    (
        "prompt_encoder.frequencies",
        f"{_PROMPT}.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    # transformers keeps the four codes in one table, which `checkpoint.py` cuts into rows first
    ("prompt_encoder.point_codes.#", f"{_PROMPT}.point_embeddings.#.weight", "prompt_encoder.point_embed.#"),
    ("prompt_encoder.not_a_point", f"{_PROMPT}.not_a_point_embed.weight", "prompt_encoder.not_a_point_embed.weight"),
    ("prompt_encoder.no_mask", f"{_PROMPT}.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
    ("prompt_encoder.mask_conv1", f"{_PROMPT}.mask_downscaling.0", f"{_HF_MASK}.conv1"),
    ("prompt_encoder.mask_norm1", f"{_PROMPT}.mask_downscaling.1", f"{_HF_MASK}.layer_norm1"),
    ("prompt_encoder.mask_conv2", f"{_PROMPT}.mask_downscaling.3", f"{_HF_MASK}.conv2"),
    ("prompt_encoder.mask_norm2", f"{_PROMPT}.mask_downscaling.4", f"{_HF_MASK}.layer_norm2"),
    ("prompt_encoder.mask_projection", f"{_PROMPT}.mask_downscaling.6", f"{_HF_MASK}.conv3"),
]

_DECODER, _HF_DECODER = "sam_mask_decoder", "mask_decoder"
_TWO_WAY, _HF_TWO_WAY = f"{_DECODER}.transformer", f"{_HF_DECODER}.transformer"
_MASK_DECODER: list[Row] = [
    ("mask_decoder.object_token", f"{_DECODER}.obj_score_token.weight", f"{_HF_DECODER}.obj_score_token.weight"),
    ("mask_decoder.iou_token", f"{_DECODER}.iou_token.weight", f"{_HF_DECODER}.iou_token.weight"),
    ("mask_decoder.mask_tokens", f"{_DECODER}.mask_tokens.weight", f"{_HF_DECODER}.mask_tokens.weight"),
    *(
        row
        for ours, theirs in (
            ("self_attention", "self_attn"),
            ("token_to_image", "cross_attn_token_to_image"),
            ("image_to_token", "cross_attn_image_to_token"),
        )
        for row in _attention(
            f"mask_decoder.layers.#.{ours}", f"{_TWO_WAY}.layers.#.{theirs}", f"{_HF_TWO_WAY}.layers.#.{theirs}"
        )
    ),
    *_mlp("mask_decoder.layers.#.mlp", f"{_TWO_WAY}.layers.#.mlp", f"{_HF_TWO_WAY}.layers.#.mlp", 2),
    *(
        (f"mask_decoder.layers.#.norm{i}", f"{_TWO_WAY}.layers.#.norm{i}", f"{_HF_TWO_WAY}.layers.#.layer_norm{i}")
        for i in (1, 2, 3, 4)
    ),
    *_attention(
        "mask_decoder.final_attention",
        f"{_TWO_WAY}.final_attn_token_to_image",
        f"{_HF_TWO_WAY}.final_attn_token_to_image",
    ),
    ("mask_decoder.final_norm", f"{_TWO_WAY}.norm_final_attn", f"{_HF_TWO_WAY}.layer_norm_final_attn"),
    ("mask_decoder.stride4_conv", f"{_DECODER}.conv_s0", f"{_HF_DECODER}.conv_s0"),
    ("mask_decoder.stride8_conv", f"{_DECODER}.conv_s1", f"{_HF_DECODER}.conv_s1"),
    ("mask_decoder.up1", f"{_DECODER}.output_upscaling.0", f"{_HF_DECODER}.upscale_conv1"),
    ("mask_decoder.up_norm", f"{_DECODER}.output_upscaling.1", f"{_HF_DECODER}.upscale_layer_norm"),
    ("mask_decoder.up2", f"{_DECODER}.output_upscaling.3", f"{_HF_DECODER}.upscale_conv2"),
    *_mlp(
        "mask_decoder.mask_heads.#",
        f"{_DECODER}.output_hypernetworks_mlps.#",
        f"{_HF_DECODER}.output_hypernetworks_mlps.#",
        3,
    ),
    *_mlp("mask_decoder.iou_head", f"{_DECODER}.iou_prediction_head", f"{_HF_DECODER}.iou_prediction_head", 3),
    *_mlp("mask_decoder.object_head", f"{_DECODER}.pred_obj_score_head", f"{_HF_DECODER}.pred_obj_score_head", 3),
]

_TOP: list[Row] = [
    *_mlp("pointer_head", "obj_ptr_proj", "object_pointer_proj", 3),
    ("absent_pointer", "no_obj_ptr", "no_object_pointer"),
    ("mask_downsample", "mask_downsample", "mask_downsample"),
]

_VIT, _HF_VIT = "image_encoder", "vision_encoder"
_SAM_IMAGE_ENCODER: list[Row] = [
    ("vit.patch", f"{_VIT}.patch_embed.proj", f"{_HF_VIT}.patch_embed.projection"),
    ("vit.position", f"{_VIT}.pos_embed", f"{_HF_VIT}.pos_embed"),
    *((f"vit.blocks.#.norm{i}", f"{_VIT}.blocks.#.norm{i}", f"{_HF_VIT}.layers.#.layer_norm{i}") for i in (1, 2)),
    *(
        (f"vit.blocks.#.attention.{ours}", f"{_VIT}.blocks.#.attn.{theirs}", f"{_HF_VIT}.layers.#.attn.{theirs}")
        for ours, theirs in (
            ("qkv", "qkv"),
            ("proj", "proj"),
            ("row_codes", "rel_pos_h"),
            ("column_codes", "rel_pos_w"),
        )
    ),
    *_lin("vit.blocks.#.mlp", f"{_VIT}.blocks.#.mlp", f"{_HF_VIT}.layers.#.mlp"),
    *((f"vit.neck_conv{i}", f"{_VIT}.neck.{2 * i - 2}", f"{_HF_VIT}.neck.conv{i}") for i in (1, 2)),
    *((f"vit.neck_norm{i}", f"{_VIT}.neck.{2 * i - 1}", f"{_HF_VIT}.neck.layer_norm{i}") for i in (1, 2)),
]

_POINTS = "prompt_encoder.point_codes.#"
_SAM_PROMPT_ENCODER: list[Row] = [
    (ours, release.replace(_PROMPT, "prompt_encoder"), f"{transformers}.weight" if ours == _POINTS else transformers)
    for ours, release, transformers in _PROMPT_ENCODER
]

_ADDED = ("object_token", "object_head", "stride4_conv", "stride8_conv")  # to the decoder, by SAM 2
_SAM_MASK_DECODER: list[Row] = [
    (ours, release.replace(_DECODER, "mask_decoder"), re.sub(r"\bo_proj$", "out_proj", transformers))
    for ours, release, transformers in _MASK_DECODER
    if not ours.startswith(tuple(f"mask_decoder.{name}" for name in (*_ADDED, "layers.#.mlp")))
] + _lin("mask_decoder.layers.#.mlp", "mask_decoder.transformer.layers.#.mlp", f"{_HF_TWO_WAY}.layers.#.mlp")

ROWS: dict[str, tuple[Row, ...]] = {
    "sam2": (
        *_IMAGE_ENCODER,
        *_MEMORY_ATTENTION,
        *_MEMORY_ENCODER,
        *_PROMPT_ENCODER,
        *_MASK_DECODER,
        *_TOP,
    ),
    "sam": (*_SAM_IMAGE_ENCODER, *_SAM_PROMPT_ENCODER, *_SAM_MASK_DECODER),
}
"""By the family of networks, see `NetworkConfig`."""

# For each family and layout a tensor that no other has.
MARKS = {
    "sam2": {"trocar": "absent_pointer", "release": "no_obj_ptr", "transformers": "no_object_pointer"},
    "sam": {"trocar": "vit.position", "release": "image_encoder.pos_embed", "transformers": "vision_encoder.pos_embed"},
}

# In every published file of SAM 2, and read by no published network: with a no-memory embedding added directly,
# nothing asks for its position.
UNREAD = {"release": "no_mem_pos_enc", "transformers": "no_memory_positional_encoding"}


def upstream_name(ours: str, layout: str, family: str = "sam2") -> str:
    """The name of one of our tensors in another layout, 'release' or 'transformers'; KeyError if it has none there."""
    column = 1 if layout == "release" else 2
    for row in ROWS[family]:
        match = re.fullmatch(re.escape(row[0]).replace(r"\#", r"(\d+)") + r"(\.weight|\.bias)?", ours)
        if match:
            number = match.group(1) if "#" in row[0] else ""
            return row[column].replace("#", number) + (match.groups()[-1] or "")
    raise KeyError(ours)
