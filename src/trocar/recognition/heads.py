"""Heads: what turns an encoder's tokens into classes. Linear, and attentive as V-JEPA's frozen evaluation has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class HeadConfig:
    """What a head is, its weights apart.

    Args:
        kind: "linear" is a linear layer on the mean token; "attentive" a learned query that attends to all tokens
            (one cross-attention block; Bardes et al., V-JEPA, 2024, section 4.2), then a linear layer.
        width: of the tokens.
        classes: how many.
        heads: of the cross-attention.
    """

    kind: Literal["linear", "attentive"]
    width: int
    classes: int
    heads: int = 4

    def __post_init__(self) -> None:
        if self.classes < 2 or self.width < 1 or self.heads < 1 or self.width % self.heads:
            raise ValueError(f"a head needs 2 classes or more and a width that its heads divide, not {self}")


class LinearHead(nn.Module):
    """(B, N, D) tokens -> (B, classes) logits by their mean."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, elementwise_affine=False)
        self.out = nn.Linear(config.width, config.classes)
        nn.init.trunc_normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.out(self.norm(tokens.mean(1)))
        return logits


class AttentiveHead(nn.Module):
    """(B, N, D) tokens -> (B, classes) logits by a query that chooses where to look."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        width, self._heads = config.width, config.heads
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        self.tokens_norm, self.hidden_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_query, self.to_out = nn.Linear(width, width), nn.Linear(width, width)
        self.to_key_value = nn.Linear(width, 2 * width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.classes)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)  # draws of 0.02 learn slowly at small widths
                nn.init.zeros_(part.bias)
        nn.init.trunc_normal_(self.out.weight, std=0.02)
        nn.init.trunc_normal_(self.query)

    def forward(self, tokens: Tensor) -> Tensor:
        count, _, width = tokens.shape
        query = self.query.expand(count, -1, -1)
        keys, values = self.to_key_value(self.tokens_norm(tokens)).chunk(2, -1)
        parts = [one.unflatten(-1, (self._heads, -1)).transpose(1, 2) for one in (self.to_query(query), keys, values)]
        seen = F.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(count, 1, width)
        hidden = query + self.to_out(seen)
        hidden = hidden + self.mlp(self.hidden_norm(hidden))
        logits: Tensor = self.out(self.norm(hidden[:, 0]))
        return logits


def make_head(config: HeadConfig) -> nn.Module:
    """A head with fresh weights; what they are follows from torch's random state."""
    return LinearHead(config) if config.kind == "linear" else AttentiveHead(config)
