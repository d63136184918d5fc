"""Memory attention: the current frame's features look at spatial memories and object pointers (SAM 2, section 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.layers import Attention
from trocar.model.position import rotary_table, rotate, sine_code, sine_map
from trocar.model.tensors import MemoryTokens

NEARNESS = 1.5  # at nano's width the score of the same cell is then about 3 above that of one 4 cells away
QUERY_POSITION_WEIGHT = 0.1  # the release adds the query's sine map once, at the input, with this factor


class RotaryAttention(Attention):
    """One-head attention in which queries, and the keys that are cells of a map, are turned by their place in it."""

    def __init__(self, dim: int, dropout: float, key_dim: int | None = None) -> None:
        super().__init__(dim, heads=1, key_dim=key_dim)
        self.dropout = dropout

    def turned(self, q: Tensor, k: Tensor, v: Tensor, table: Tensor, maps: int) -> Tensor:
        """Attend with rotary codes.

        Args:
            q: (R, h * w, dim).
            k: (R, T, key_dim): `maps` whole maps, one after the other, then tokens that have no place.
            v: (R, T, key_dim).
            table: (h * w, dim / 2) complex.
        """
        q, k, v = rotate(self.q_proj(q), table), self.k_proj(k), self.v_proj(v)
        placed, free = k[:, : maps * len(table)], k[:, maps * len(table) :]
        placed = rotate(torch.unflatten(placed, 1, (maps, len(table))), table).flatten(1, 2)
        q, k, v = self.split(q), self.split(torch.cat((placed, free), dim=1)), self.split(v)
        drop = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class MemoryAttentionLayer(nn.Module):
    """Self-attention over the frame, cross-attention to memory, MLP; each behind a norm and beside a residual path."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim, drop = config.hidden_dim, config.memory_dropout
        self.self_attention = RotaryAttention(dim, drop)
        self.cross_attention = RotaryAttention(dim, drop, key_dim=config.memory_dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, config.memory_mlp_dim)
        self.linear2 = nn.Linear(config.memory_mlp_dim, dim)
        self.dropout = nn.Dropout(drop)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, table: Tensor, maps: int) -> Tensor:
        """(R, h * w, D) -> the same; `keys` and `values` are (R, T, memory_dim), see `RotaryAttention.turned`."""
        normed = self.norm1(x)
        x = x + self.dropout(self.self_attention.turned(normed, normed, normed, table, 1))
        x = x + self.dropout(self.cross_attention.turned(self.norm2(x), keys, values, table, maps))
        out: Tensor = x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(self.norm3(x))))))
        return out


class MemoryAttention(nn.Module):
    """The stack of layers, the temporal codes of what it attends to, and the embedding used when there is nothing."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.memory_dim = config.memory_dim
        self.layers = nn.ModuleList(MemoryAttentionLayer(config) for _ in range(config.memory_layers))
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.slot_codes = nn.Parameter(torch.empty(config.num_slots, config.memory_dim))
        self.no_memory = nn.Parameter(torch.empty(config.hidden_dim))
        self.long_term_codes: nn.Parameter | None = None
        if config.num_long_term_slots:
            self.long_term_codes = nn.Parameter(torch.empty(config.num_long_term_slots, config.memory_dim))
        for table in (self.slot_codes, self.no_memory, self.long_term_codes):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.1)
        self.pointer_time = nn.Linear(config.hidden_dim, config.memory_dim) if config.pointer_time_code else None

    def prepare_training(self) -> None:
        """Let a fresh network look where the object was.

        Equal biases of queries and keys, in the channels whose rotary code turns fast, give a score that falls with
        the distance between two cells: the first memory that is read is that of the same place.
        """
        for layer in self.layers:
            assert isinstance(layer, MemoryAttentionLayer)
            attention = layer.cross_attention
            half = attention.q_proj.out_features // 2
            for bias in (attention.q_proj.bias.data, attention.k_proj.bias.data):
                bias.unflatten(0, (2, half))[:, : half // 4] = NEARNESS

    def forward(self, stride16: Tensor, memory: MemoryTokens | None) -> Tensor:
        """(R, D, h, w) raw features -> (R, D, h, w) fused ones."""
        if memory is None or memory.spatial.shape[1] + memory.pointers.shape[1] == 0:
            return stride16 + self.no_memory[:, None, None]
        _, channels, height, width = stride16.shape
        x = stride16 + QUERY_POSITION_WEIGHT * sine_map(channels, height, width, stride16.device).to(stride16.dtype)
        x = x.flatten(2).transpose(1, 2)
        spatial, spatial_keys = self._spatial_tokens(memory, stride16.dtype)
        pointers, pointer_keys = self._pointer_tokens(memory, stride16.dtype)
        keys, values = torch.cat((spatial_keys, pointer_keys), dim=1), torch.cat((spatial, pointers), dim=1)
        table = rotary_table(channels, height, width, stride16.device)
        for layer in self.layers:
            x = layer(x, keys, values, table, memory.spatial.shape[1])
        out: Tensor = torch.unflatten(self.norm(x).transpose(1, 2), 2, (height, width))
        return out

    def _spatial_tokens(self, memory: MemoryTokens, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Values and keys of the spatial memories, each (R, N * h * w, memory_dim)."""
        spatial = memory.spatial.to(dtype)
        _, _, channels, height, width = spatial.shape
        tables = [self.slot_codes, self.slot_codes.new_zeros(1, channels)]
        if self.long_term_codes is not None:
            tables.insert(1, self.long_term_codes)
        time = torch.cat(tables)[memory.slot].to(dtype)  # slot -1 reads the last row, which is zero
        place = sine_map(channels, height, width, spatial.device).to(dtype)
        keys = (spatial + (place + time[..., None, None])) * memory.key_gain.to(dtype)[..., None, None, None]

        def flat(x: Tensor) -> Tensor:
            return x.permute(0, 1, 3, 4, 2).flatten(1, 3)

        return flat(spatial), flat(keys)

    def _pointer_tokens(self, memory: MemoryTokens, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Values and keys of the pointers, each (R, P * D / memory_dim, memory_dim): a pointer is cut into tokens."""
        tokens = torch.unflatten(memory.pointers.to(dtype), 2, (-1, self.memory_dim))
        keys = tokens
        if self.pointer_time is not None:
            code = sine_code(memory.pointer_distance, memory.pointers.shape[2])
            keys = keys + self.pointer_time(code.to(dtype))[:, :, None]
        keys = keys * memory.pointer_gain.to(dtype)[..., None, None]
        return tokens.flatten(1, 2), keys.flatten(1, 2)
