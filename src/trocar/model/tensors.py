"""What the network takes and gives, as values: F frames, R rows (object x hypothesis), S the side of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """Features of F frames, shared by all objects.

    Args:
        stride4: (F, D/8, S/4, S/4), for the mask decoder.
        stride8: (F, D/4, S/8, S/8), for the mask decoder.
        stride16: (F, D, S/16, S/16), raw: nothing from memory is in it.
        view: (F, S, S) uint8 pictures on the CPU, for networks that carry masks along with the motion.
    """

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor
    view: Tensor | None = None

    def rows(self, index: Tensor) -> ImageFeatures:
        """The features of frame `index[r]` for each row r; `index` is (R,) long."""
        maps = self.stride4, self.stride8, self.stride16
        if len(self.stride4) == 1:  # nothing has to be copied
            return ImageFeatures(*(one.expand(len(index), -1, -1, -1) for one in maps))
        return ImageFeatures(*(one[index] for one in maps))


@dataclass(frozen=True, eq=False)
class ProjectedMemory:
    """One spatial memory, as far as it can be made ready before anybody knows when and how it is read.

    Its T tokens are its cells, or the averages of blocks of them.

    Args:
        values: (T, C) the tokens.
        keys: for each layer of memory attention the tokens' keys, (T, D / 2) complex64: turned by their place, still
            without what depends on the reading, which is the temporal code, the gain and, with them, the bias.
        table: (T, D / 2) complex64: how far tokens are turned.
        log_cells: (T,) logarithm of how many cells each token stands for; None where each is one.
    """

    values: Tensor
    keys: tuple[Tensor, ...]
    table: Tensor
    log_cells: Tensor | None = None


@dataclass(frozen=True, eq=False)
class MemoryTokens:
    """What R rows attend to. All rows of one call have the same N and the same P; both may be 0.

    Args:
        spatial: R times N spatial memories.
        slot: (R, N) long temporal code: -1 none, 0..num_slots-1 the checkpoint's row (0 the newest frame, the last one
            prompted frames), num_slots+k the k-th long-term row.
        key_gain: (R, N) factor on the keys (memory plus position); None where all are 1.
        pointers: (R, P, D) object pointers.
        pointer_distance: (R, P) distance in time divided by (bound - 1); networks without a time code ignore it.
        pointer_gain: (R, P) factor on the pointers' keys.
    """

    spatial: Sequence[Sequence[ProjectedMemory]]
    slot: Tensor
    key_gain: Tensor | None
    pointers: Tensor
    pointer_distance: Tensor
    pointer_gain: Tensor


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """Prompts of R rows that are embedded already, as class prompts are (`trocar.classprompt`).

    Args:
        sparse: (R, T, D) tokens.
        dense: (R, D, S/16, S/16), added to the image features.
    """

    sparse: Tensor
    dense: Tensor


@dataclass(frozen=True, eq=False)
class CarriedMasks:
    """Masks of R rows carried here from other frames, in pixels of the input; they join the answer.

    Args:
        logits: (R, 1, S, S), the nearer to 0 the less they are trusted.
        trust: (R, 1, S, S), 0 to 1.
    """

    logits: Tensor
    trust: Tensor


@dataclass(frozen=True, eq=False)
class PromptTensors:
    """Prompts of R rows, in pixels (x, y) of the S x S input.

    Args:
        points: (R, K, 2).
        labels: (R, K) int: 1 positive, 0 negative, 2 and 3 a box's corners, -1 not a point.
        mask_logits: (R, 1, S/4, S/4) dense prompt, or None for the learned embedding of "no mask".
        carried: what else is known of the masks, from other frames.
        embedded: takes the place of all the others, which are then not read.
    """

    points: Tensor
    labels: Tensor
    mask_logits: Tensor | None = None
    carried: CarriedMasks | None = None
    embedded: PromptEmbeddings | None = None


def no_prompt(rows: int, device: torch.device | str = "cpu") -> PromptTensors:
    """The prompt of a frame that has none: one point of label -1 a row, as the release does when it tracks."""
    points = torch.zeros(rows, 1, 2, device=device)
    return PromptTensors(points, torch.full((rows, 1), -1, dtype=torch.long, device=device))


def embedded_prompt(embedded: PromptEmbeddings) -> PromptTensors:
    """The prompts of R rows that are embedded already; there is no point."""
    rows, device = len(embedded.sparse), embedded.sparse.device
    labels = torch.zeros(rows, 0, dtype=torch.long, device=device)
    return PromptTensors(torch.zeros(rows, 0, 2, device=device), labels, embedded=embedded)


@dataclass(frozen=True, eq=False)
class Decoded:
    """M candidate masks for each of R rows.

    Args:
        masks: (R, M, S/4, S/4) logits.
        iou: (R, M) predicted IoU, 0 to 1.
        object_score: (R,) logit, above 0 when the object is there; one for all candidates of a row.
        pointers: (R, M, D) object pointer of each candidate; absence is not applied to it.
        fine: (R, M, S, S) logits of the same masks where more is known of them than `masks` can hold.
    """

    masks: Tensor
    iou: Tensor
    object_score: Tensor
    pointers: Tensor
    fine: Tensor | None = None


def joined(rows: Sequence[Decoded]) -> Decoded:
    """The rows of several as those of one."""
    parts: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in vars(rows[0])}
    whole: dict[str, Any] = {name: None if own[0] is None else torch.cat(own) for name, own in parts.items()}
    return Decoded(**whole)


Rows = TypeVar("Rows", MemoryTokens, PromptTensors, PromptEmbeddings, CarriedMasks, Decoded)


def row_of(rows: Rows, number: int) -> Rows:
    """One of the R rows that these are of."""
    return type(rows)(**{name: _row_of(value, number) for name, value in vars(rows).items()})


def _row_of(value: Any, number: int) -> Any:
    if value is None:
        return None
    nested = isinstance(value, PromptEmbeddings | CarriedMasks)
    return row_of(value, number) if nested else value[number : number + 1]
