"""The mask decoder: tokens and image exchange in both directions, then each mask token paints a mask (SAM, SAM 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import Attention, ChannelNorm, Mlp

TWO_WAY_LAYERS = 2
MASK_TOKENS = 4  # token 0 paints the single mask, tokens 1 to 3 the candidates for an ambiguous prompt
PRESENT_LOGIT = 10.0  # the object score of networks that do not tell (SAM)
STABILITY_OFFSET, STABILITY_FLOOR = 0.05, 0.98  # of the release's builders


@dataclass(frozen=True, eq=False)
class Guidance:
    """What is known of the target before it is decoded, for R rows (PerSAM: Zhang et al., ICLR 2024).

    Args:
        places: (R, h * w) how much each place is like the target, added to the tokens' attention to the image.
        target: (R, 1, D) feature of the target, added to all tokens wherever they attend.
    """

    places: Tensor
    target: Tensor


class TwoWayLayer(nn.Module):
    """Tokens among themselves, tokens to image, MLP on tokens, image to tokens; a norm after each."""

    def __init__(self, config: NetworkConfig, first: bool) -> None:
        super().__init__()
        dim, heads = config.hidden_dim, config.decoder_heads
        self.first = first
        self.self_attention = Attention(dim, heads)
        self.token_to_image = Attention(dim, heads, inner_dim=dim // 2)
        self.image_to_token = Attention(dim, heads, inner_dim=dim // 2)
        self.mlp = Mlp((dim, config.decoder_mlp_dim, dim))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm3, self.norm4 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(
        self, tokens: Tensor, image: Tensor, token_place: Tensor, image_place: Tensor, places: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(R, T, D) tokens, (R, h * w, D) image and their positions -> both, updated; `places` as in `Guidance`."""
        if self.first:  # the tokens still are their own positions, and there is nothing to keep beside them
            tokens = self.self_attention(tokens, tokens, tokens)
        else:
            placed = tokens + token_place
            tokens = self.self_attention(placed, placed, tokens, tokens)
        tokens = self.norm1(tokens)
        placed_image = image + image_place
        tokens = self.norm2(self.token_to_image(tokens + token_place, placed_image, image, tokens, places))
        tokens = self.norm3(self.mlp(tokens, tokens))
        image = self.norm4(self.image_to_token(placed_image, tokens + token_place, tokens, image))
        return tokens, image


class MaskDecoder(nn.Module):
    """From fused features and prompts to candidate masks, their predicted IoU, and whether the object is there.

    SAM's has neither finer maps nor a token for presence, and its predicted IoU is not held within 0..1.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.of_sam2 = config.family == "sam2"
        if self.of_sam2:
            self.object_token = nn.Parameter(torch.randn(1, dim))
        self.iou_token = nn.Parameter(torch.randn(1, dim))
        self.mask_tokens = nn.Parameter(torch.randn(MASK_TOKENS, dim))
        self.layers = nn.ModuleList(TwoWayLayer(config, first=i == 0) for i in range(TWO_WAY_LAYERS))
        self.final_attention = Attention(dim, config.decoder_heads, inner_dim=dim // 2)
        self.final_norm = nn.LayerNorm(dim)
        if self.of_sam2:
            self.stride4_conv, self.stride8_conv = nn.Conv2d(dim, dim // 8, 1), nn.Conv2d(dim, dim // 4, 1)
        self.up1, self.up_norm = nn.ConvTranspose2d(dim, dim // 4, 2, stride=2), ChannelNorm(dim // 4)
        self.up2 = nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2)
        self.mask_heads = nn.ModuleList(Mlp((dim, dim, dim, dim // 8)) for _ in range(MASK_TOKENS))
        self.iou_head = Mlp((dim, config.iou_hidden_dim, config.iou_hidden_dim, MASK_TOKENS))
        if self.of_sam2:
            self.object_head = Mlp((dim, dim, dim, 1))

    def forward(
        self,
        fused: Tensor,
        stride4: Tensor,
        stride8: Tensor,
        tokens: Tensor,
        place: Tensor,
        guidance: Guidance | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run the two-way layers.

        Args:
            fused: (R, D, h, w), the dense prompt already added.
            stride4: (R, D/8, 4h, 4w); SAM's is not read.
            stride8: (R, D/4, 2h, 2w); SAM's is not read.
            tokens: (R, K, D) prompt tokens.
            place: (1, D, h, w) position codes of the map.
            guidance: what is known of the targets, if anything.

        Returns:
            mask tokens (R, 4, D), the upscaled image (R, D/8, 4h, 4w), predicted IoU (R, 4), object score (R,).
        """
        rows, _, height, width = fused.shape
        own = torch.cat((self.iou_token, self.mask_tokens))
        if self.of_sam2:
            own = torch.cat((self.object_token, own))
        start = torch.cat((own.expand(rows, -1, -1), tokens), dim=1)
        image, image_place = fused.flatten(2).transpose(1, 2), place.flatten(2).transpose(1, 2)
        out = start
        places = None if guidance is None else guidance.places
        for layer in self.layers:
            out = out if guidance is None else out + guidance.target
            out, image = layer(out, image, start, image_place, places)
        query = out + start if guidance is None else out + start + guidance.target
        out = self.final_norm(self.final_attention(query, image + image_place, image, out))
        image = torch.unflatten(image.transpose(1, 2), 2, (height, width))
        if not self.of_sam2:
            image = F.gelu(self.up2(F.gelu(self.up_norm(self.up1(image)))))
            return out[:, 1 : 1 + MASK_TOKENS], image, self.iou_head(out[:, 0]), out.new_full((rows,), PRESENT_LOGIT)
        image = F.gelu(self.up_norm(self.up1(image) + stride8))
        image = F.gelu(self.up2(image) + stride4)
        score = self.object_head(out[:, 0])[:, 0]
        return out[:, 2 : 2 + MASK_TOKENS], image, self.iou_head(out[:, 1]).sigmoid(), score

    def paint(self, tokens: Tensor, image: Tensor, which: range) -> Tensor:
        """The masks (R, len(which), H, W) that the mask tokens `which` of (R, 4, D) paint on (R, D/8, H, W)."""
        weights = torch.stack([self.mask_heads[i](tokens[:, i]) for i in which], dim=1)
        return torch.unflatten(weights @ image.flatten(2), 2, image.shape[2:])

    def prepare_training(self) -> None:
        """Weights that a fresh network learns from quickly.

        The last layer of each mask head is small, so that logits stay where losses have a slope. Where tokens and
        image attend to each other, queries and keys start as the same projection: then a place attends to what lies
        near it from the first step, and need not find out first what its position code means.
        """
        between = [self.final_attention]
        for layer in self.layers:
            assert isinstance(layer, TwoWayLayer)
            between += [layer.token_to_image, layer.image_to_token]
        for attention in between:
            attention.k_proj.load_state_dict(attention.q_proj.state_dict())
        for name, weight in self.mask_heads.named_parameters():
            if name.endswith("layers.2.weight"):
                nn.init.xavier_uniform_(weight, gain=0.3)


def stability(masks: Tensor) -> Tensor:
    """How little a mask changes with its threshold: area above +0.05 over area above -0.05; 1 if that is empty."""
    inner = (masks > STABILITY_OFFSET).flatten(2).sum(dim=2, dtype=torch.float32)
    outer = (masks > -STABILITY_OFFSET).flatten(2).sum(dim=2, dtype=torch.float32)
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)
