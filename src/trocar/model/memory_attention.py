"""Memory attention: the current frame's features look at spatial memories and object pointers (SAM 2, section 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.int8 import Int8Linear, int8_scores, rounded
from trocar.model.layers import Attention, linear
from trocar.model.position import log_block_cells, pairs, rotary_table, rotate, sine_code, sine_map
from trocar.model.rows import by_row, goes_by_row
from trocar.model.tensors import MemoryTokens, ProjectedMemory, row_of

NEARNESS = 1.5  # at nano's width the score of the same cell is then about 3 above that of one 4 cells away
QUERIES_AT_ONCE = 128  # on a CPU: few, so that their scores stay in its cache; many, so that keys are read seldom
DEEPEST = 60.0  # below the largest score
ROUNDED_FROM = 256  # channels of queries and keys
QUERY_POSITION_WEIGHT = 0.1  # the release adds the query's sine map once, at the input, with this factor


class RotaryAttention(Attention):
    """One-head attention in which queries, and the keys that are cells of a map, are turned by their place in it."""

    def __init__(self, dim: int, dropout: float, key_dim: int | None = None) -> None:
        super().__init__(dim, heads=1, key_dim=key_dim)
        self.dropout = dropout

    def over_itself(self, x: Tensor, table: Tensor) -> Tensor:
        """Self-attention of a map, (R, h * w, dim); `table` is (h * w, dim / 2) complex."""
        q, k = rotate(linear(self.q_proj, x), table), rotate(linear(self.k_proj, x), table)
        return linear(self.out_proj, self._attend(q, k, linear(self.v_proj, x)))

    def over_memory(self, x: Tensor, keys: Tensor, values: Tensor, table: Tensor, weights: Tensor | None) -> Tensor:
        """Cross-attention of a map to T tokens.

        Args:
            x: (R, h * w, dim), or (1, h * w, dim) where all rows are alike.
            keys: (R, T, dim), projected and turned.
            values: (R, T, key_dim), not projected.
            table: (h * w, dim / 2) complex.
            weights: (R, T) logarithm of how many tokens each stands for; None where each is one.
        """
        q = rotate(linear(self.q_proj, x), table).expand(len(keys), -1, -1)
        if q.device.type == "cpu" and q.dtype == torch.float32 and not (self.training or torch.is_grad_enabled()):
            mixed = linear(self.v_proj, _blockwise(q, keys, values, weights, self._rounds))
        else:
            mixed = self._attend(q, keys, linear(self.v_proj, values), weights)
        return linear(self.out_proj, mixed)

    @property
    def _rounds(self) -> bool:
        """Whether scores are computed in whole numbers, as projections are; it does not pay for short vectors."""
        return isinstance(self.q_proj, Int8Linear) and self.q_proj.out_features >= ROUNDED_FROM

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, weights: Tensor | None = None) -> Tensor:
        drop = self.dropout if self.training else 0.0
        mask = None if weights is None else weights[:, None, None].to(q.dtype)
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], mask, dropout_p=drop)[:, 0]


def _blockwise(q: Tensor, k: Tensor, v: Tensor, weights: Tensor | None, rounds: bool) -> Tensor:
    """Attention of (R, Q, c) queries to (R, T, c) keys and (R, T, d) values, a few queries at a time: (R, Q, d).

    The fused kernel wants values as wide as keys. An average of projected values is the projection of their average,
    so values are averaged as they are stored, narrow, which saves more than the kernel does.
    """
    rows = []
    for number, queries in enumerate(q * q.shape[-1] ** -0.5):
        keys, values, blocks = k[number], v[number], queries.split(QUERIES_AT_ONCE)
        if rounds:
            whole = rounded(keys)
            scores = (int8_scores(block, *whole) for block in blocks)
            if weights is not None:
                scores = (score.add_(weights[number]) for score in scores)
        elif weights is None:
            scores = (block @ keys.T for block in blocks)
        else:
            scores = (torch.addmm(weights[number], block, keys.T) for block in blocks)
        rows.append(torch.cat([_normal_softmax(score) @ values for score in scores]))
    return torch.stack(rows)


def _normal_softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension, in place, without weights that are too small for normal numbers.

    A trained network is sure of where it looks, so that many of its weights underflow, and a processor is slow to
    multiply denormal numbers. In 32 bits nothing is lost, as e^-60 of a sum is less than its rounding.
    """
    return scores.clamp_(min=scores.amax(dim=-1, keepdim=True) - DEEPEST).softmax(dim=-1)


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

    def over_itself(self, x: Tensor, table: Tensor) -> Tensor:
        """The first third of a layer, which no memory takes part in, of (R or 1, h * w, D)."""
        out: Tensor = x + self.dropout(self.self_attention.over_itself(self.norm1(x), table))
        return out

    def over_memory(self, x: Tensor, keys: Tensor, values: Tensor, table: Tensor, weights: Tensor | None) -> Tensor:
        """The rest of it: (R or 1, h * w, D) -> (R, h * w, D); the others as in `RotaryAttention.over_memory`."""
        x = x + self.dropout(self.cross_attention.over_memory(self.norm2(x), keys, values, table, weights))
        hidden = self.dropout(linear(self.linear1, self.norm3(x), "relu"))
        return x + self.dropout(linear(self.linear2, hidden)) if self.training else linear(self.linear2, hidden, plus=x)


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
        for layer in self._layers:
            attention = layer.cross_attention
            half = attention.q_proj.out_features // 2
            for bias in (attention.q_proj.bias.data, attention.k_proj.bias.data):
                bias.unflatten(0, (2, half))[:, : half // 4] = NEARNESS

    @property
    def _layers(self) -> list[MemoryAttentionLayer]:
        return [layer for layer in self.layers if isinstance(layer, MemoryAttentionLayer)]

    def project(self, spatial: Tensor, block: int = 1) -> ProjectedMemory:
        """Make one (memory_dim, h, w) spatial memory ready to be read, as often as one likes.

        With `block` the cells of each block of so many a side become one token: their average at their centre, which
        counts as often as there are cells (Bolya et al., "Token Merging" 2023, proportional attention).
        """
        spatial = spatial.to(self.slot_codes.dtype)
        channels, height, width = spatial.shape
        placed = spatial + sine_map(channels, height, width, spatial.device).to(spatial.dtype)
        if block > 1:
            spatial, placed = (F.avg_pool2d(one, block, ceil_mode=True) for one in (spatial, placed))
        weights = [layer.cross_attention.k_proj.weight for layer in self._layers]
        table = rotary_table(len(weights[0]), height, width, spatial.device, block)
        keys = tuple(pairs(F.linear(placed.flatten(1).T, weight)) * table for weight in weights)
        cells = log_block_cells(height, width, block, spatial.device) if block > 1 else None
        return ProjectedMemory(spatial.flatten(1).T.contiguous(), keys, table, cells)

    def forward(self, stride16: Tensor, memory: MemoryTokens | None) -> Tensor:
        """(R or 1, D, h, w) raw features -> (R, D, h, w) fused ones; (1, D, h, w) where there is no memory."""
        if memory is None or memory.slot.shape[1] + memory.pointers.shape[1] == 0:
            return stride16 + self.no_memory[:, None, None]
        _, channels, height, width = stride16.shape
        x = stride16 + QUERY_POSITION_WEIGHT * sine_map(channels, height, width, stride16.device).to(stride16.dtype)
        x = x.flatten(2).transpose(1, 2)
        table = rotary_table(channels, height, width, stride16.device)
        x = self._layers[0].over_itself(x, table)
        if goes_by_row(x):
            rows = x.expand(len(memory.slot), -1, -1)
            read = by_row(lambda row: self._read(rows[row : row + 1], row_of(memory, row), table), len(rows))
            x = torch.cat(read)
        else:
            x = self._read(x, memory, table)
        out: Tensor = torch.unflatten(self.norm(x).transpose(1, 2), 2, (height, width))
        return out

    def _read(self, x: Tensor, memory: MemoryTokens, table: Tensor) -> Tensor:
        """All layers but what the first begins with: (R or 1, h * w, D) -> (R, h * w, D)."""
        pointers, pointer_keys = self._pointer_tokens(memory, x.dtype)
        parts = [[*(one.values for one in row), free] for row, free in zip(memory.spatial, pointers, strict=True)]
        values = torch.cat([part for row in parts for part in row]).unflatten(0, (len(parts), -1))
        codes = self._temporal_codes(memory).to(x.dtype)
        weights = _token_weights(memory, pointers)
        for number, layer in enumerate(self._layers):
            if number:
                x = layer.over_itself(x, table)
            project = layer.cross_attention.k_proj
            keys = _layer_keys(memory, number, project(codes), project(pointer_keys))
            x = layer.over_memory(x, keys, values, table, weights)
        return x

    def _temporal_codes(self, memory: MemoryTokens) -> Tensor:
        """(R, N, memory_dim): what the time at which a spatial memory is read adds to each of its cells."""
        tables = [self.slot_codes, self.slot_codes.new_zeros(1, self.memory_dim)]
        if self.long_term_codes is not None:
            tables.insert(1, self.long_term_codes)
        codes = torch.cat(tables)[memory.slot]  # slot -1 reads the last row, which is zero
        return codes if memory.key_gain is None else codes * memory.key_gain[..., None].to(codes.dtype)

    def _pointer_tokens(self, memory: MemoryTokens, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Values and keys of the pointers, each (R, P * D / memory_dim, memory_dim): a pointer is cut into tokens."""
        tokens = torch.unflatten(memory.pointers.to(dtype), 2, (-1, self.memory_dim))
        keys = tokens
        if self.pointer_time is not None:
            code = sine_code(memory.pointer_distance, memory.pointers.shape[2])
            keys = keys + self.pointer_time(code.to(dtype))[:, :, None]
        keys = keys * memory.pointer_gain.to(dtype)[..., None, None]
        return tokens.flatten(1, 2), keys.flatten(1, 2)


def _layer_keys(memory: MemoryTokens, layer: int, codes: Tensor, free: Tensor) -> Tensor:
    """One layer's keys, (R, T, D): those of the spatial memories, then `free`, those of the pointers.

    A key is the turned projection of gain * (cell + place + time). Both maps are linear, so of what is kept with the
    memory, the projected and turned cell + place, only the scaled time is missing: `codes`, (R, N, D), with the bias.
    """
    if not codes.shape[1]:
        return free
    times = pairs(codes)
    in_place = free.dtype == torch.float32 and not torch.is_grad_enabled()
    count = sum(len(one.values) for one in memory.spatial[0]) + free.shape[1]
    whole = free.new_empty(len(free), count, free.shape[2]) if in_place else None
    rows = []
    for number, row in enumerate(memory.spatial):
        parts, start = [], 0
        for one, time, gain in zip(row, times[number], _gains(memory, number), strict=True):
            kept = one.keys[layer] if gain is None else one.keys[layer] * gain
            if whole is None:
                parts.append(torch.addcmul(kept, time, one.table))
            else:  # megabytes that would otherwise be copied twice
                torch.addcmul(kept, time, one.table, out=pairs(whole[number, start : start + len(kept)]))
            start += len(kept)
        if whole is None:
            keys = torch.view_as_real(torch.cat(parts)).flatten(1).to(free.dtype)
            rows.append(torch.cat((keys, free[number])))
        else:
            whole[number, start:] = free[number]
    return torch.stack(rows) if whole is None else whole


def _gains(memory: MemoryTokens, row: int) -> list[Tensor] | list[None]:
    if memory.key_gain is None:
        return [None] * len(memory.spatial[row])
    return list(memory.key_gain[row].float())


def _token_weights(memory: MemoryTokens, pointers: Tensor) -> Tensor | None:
    """(R, T) logarithm of how many tokens each stands for, those of pointers last; None where each is one."""
    if all(one.log_cells is None for row in memory.spatial for one in row):
        return None
    single = pointers.new_zeros(pointers.shape[1])
    rows = []
    for row in memory.spatial:
        parts = [one.values.new_zeros(len(one.values)) if one.log_cells is None else one.log_cells for one in row]
        rows.append(torch.cat((*parts, single)))
    return torch.stack(rows)
