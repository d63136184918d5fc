"""The class of a tracked object: one token looks at its memory, then at the frame (SAM2S: Liu et al. 2025, 4.3).

What the token has become is compared with a text feature of each class. The paper leaves open where the token's
attention sits and which of the frame's features it sees; here it is a head beside the mask decoder, which does not read
it, and the features are a setting.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig, SemanticConfig
from trocar.model.layers import Attention, Mlp
from trocar.model.tensors import MemoryTokens


class SemanticHead(nn.Module):
    """A learned token, two cross-attentions, an MLP and the projection to the width of the text features."""

    text: Tensor

    def __init__(self, config: NetworkConfig, semantic: SemanticConfig) -> None:
        super().__init__()
        dim, heads = config.hidden_dim, config.decoder_heads
        self.memory_dim = config.memory_dim
        self.scale = semantic.scale
        self.token = nn.Parameter(torch.empty(1, dim))
        self.memory_norm = nn.LayerNorm(config.memory_dim)
        self.memory_attention = Attention(dim, heads, key_dim=config.memory_dim)
        self.frame_norm = nn.LayerNorm(dim)
        self.frame_attention = Attention(dim, heads)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = Mlp((dim, 2 * dim, dim), gelu=True)
        self.projection = nn.Linear(dim, semantic.width)
        self.register_buffer("text", torch.zeros(len(semantic.names), semantic.width))
        nn.init.trunc_normal_(self.token, std=0.02)

    def forward(self, frame: Tensor, memory: MemoryTokens) -> Tensor:
        """What each row's object is.

        Args:
            frame: (R or 1, D, h, w) features of the current frame.
            memory: of R rows; their cells and pointers, wherever and whenever they were.

        Returns:
            (R, K) logits: the scaled cosine of the row's feature with the text feature of each class.
        """
        keys = self.memory_norm(_memory_cells(memory, self.memory_dim).to(frame.dtype))
        cells = self.frame_norm(frame.flatten(2).transpose(1, 2)).expand(len(keys), -1, -1)
        x = self.token.to(frame.dtype).expand(len(keys), 1, -1)
        x = x + self.memory_attention(self.norm1(x), keys, keys)
        x = x + self.frame_attention(self.norm2(x), cells, cells)
        x = x + self.mlp(self.norm3(x))
        feature = F.normalize(self.projection(x[:, 0]).to(self.text.dtype), dim=1)
        return self.scale * feature @ self.text.T


def _memory_cells(memory: MemoryTokens, channels: int) -> Tensor:
    """All that R rows remember, (R, T, memory_dim): the cells of spatial memories, then pointers cut into tokens."""
    pointers = memory.pointers.unflatten(2, (-1, channels)).flatten(1, 2)
    cells = [[one.values for one in row] for row in memory.spatial]
    return torch.stack([torch.cat((*row, own.to(pointers.dtype))) for row, own in zip(cells, pointers, strict=True)])
