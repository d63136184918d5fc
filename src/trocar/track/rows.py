"""Rows: the loop's batch axis, object x hypothesis. Here plans and prompts become the tensors that the network takes.

Rows with equally long memories or prompts go through the network together; nothing is padded, so a row's arithmetic
does not depend on its neighbours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.memory.seam import EntryId, MemoryEntry, ReadPlan, Visit
from trocar.model.network import Network
from trocar.model.tensors import (
    CarriedMasks,
    Decoded,
    ImageFeatures,
    MemoryTokens,
    ProjectedMemory,
    PromptTensors,
    no_prompt,
    row_of,
)
from trocar.track.economy import Economy
from trocar.track.handed_on import HANDED_LIMIT, carried_masks, handed_masks, nearest
from trocar.track.prompt_input import PromptInput
from trocar.track.track import Track

T = TypeVar("T")

MASK_LOGIT = 10.0  # a mask prompt becomes logits of +-10 (SAM 2, mask prompts are the output)
KEPT_CELLS = 32 * 32  # of larger maps, projected memories take much room and spare little: attention grows faster


@dataclass(frozen=True, eq=False)
class Task:
    """What `step` is to do for one track.

    Args:
        track: the object.
        visit: where we are.
        prompt: what the user says here, if anything.
        use_memory: whether memory is read; a first prompt is answered from the image alone.
        image: which of the frames in the features.
        standing: (object id, (s, s) logits) of the other objects' answered prompts on this frame, which take part in
            overlap resolution though nothing is decoded for them.
    """

    track: Track
    visit: Visit
    prompt: PromptInput | None = None
    use_memory: bool = True
    image: int = 0
    standing: tuple[tuple[int, Tensor], ...] = ()


@dataclass(frozen=True, eq=False)
class Row:
    task: Task
    plan: ReadPlan


def _groups(rows: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(key(row), []).append(index)
    yield from groups.values()


def image_index(rows: Sequence[Row], device: torch.device) -> Tensor:
    return torch.tensor([row.task.image for row in rows], device=device)


def attend_rows(
    network: Network, features: ImageFeatures, rows: Sequence[Row], economy: Economy
) -> tuple[Tensor, list[Tensor | None]]:
    """Each row's stride-16 feature after memory attention, (R, D, h, w), and what its object is, (K,) logits.

    Classes are None for a network without a semantic head, and for rows that read no memory.
    """
    image = image_index(rows, features.stride16.device)
    fused: list[Tensor] = [features.stride16] * len(rows)
    classes: list[Tensor | None] = [None] * len(rows)
    projected = _projected(network, rows, features.stride16[0, 0].numel(), economy)
    for members in _groups(range(len(rows)), lambda at: _lengths(rows[at], projected[at])):
        # One image is given once, however many rows look at it.
        queries = features.stride16 if len(features.stride16) == 1 else features.stride16[image[members]]
        slots = network.config.num_slots + network.config.num_long_term_slots
        memory = _memory_tokens([rows[at] for at in members], [projected[at] for at in members], queries, slots)
        attended = network.attend(queries, memory).expand(len(members), -1, -1, -1)
        said = None if memory is None else network.classify(queries, attended, memory)
        if said is not None:
            for index, logits in zip(members, said, strict=True):
                classes[index] = logits
        for index, feature in zip(members, attended, strict=True):
            # A mask prompt is the output itself; its pointer is decoded from the plain image (SAM 2).
            prompt = rows[index].task.prompt
            plain = prompt is not None and prompt.mask is not None
            fused[index] = features.stride16[rows[index].task.image] if plain else feature
    return torch.stack(fused), classes


def _lengths(row: Row, projected: Sequence[ProjectedMemory]) -> tuple[int, int, int]:
    """Rows of equal lengths go together: memories, their tokens, and pointers."""
    return len(projected), sum(len(one.values) for one in projected), len(row.plan.pointers)


def _projected(network: Network, rows: Sequence[Row], cells: int, economy: Economy) -> list[list[ProjectedMemory]]:
    """The spatial memories that each row reads, ready for the network; their maps have `cells` cells.

    From one frame to the next most of them stay the same, so a track keeps those that it read last, and only those.
    Where gradients are wanted nothing is kept, as weights change. Each memory is projected by itself, so that one that
    was kept and one that is made again, after a restart for example, are equal to the last bit.
    """
    keep = cells <= KEPT_CELLS and not torch.is_grad_enabled()
    fresh: dict[int, dict[tuple[EntryId, int], tuple[Tensor, ProjectedMemory]]] = {}
    projected = []
    for row in rows:
        track = row.task.track
        own = fresh.setdefault(id(track), {})
        entries = [track.entries[item.entry] for item in row.plan.spatial]
        mine = []
        for entry, block in zip(entries, economy.blocks(row.task.visit, row.plan, entries), strict=True):
            key, spatial = (entry.id, block), _required(entry.spatial)
            if key not in own:
                kept = track.projected.get(key) if keep else None
                if kept is None or kept[0] is not spatial:
                    kept = spatial, network.project_memory(spatial, block)
                own[key] = kept
            mine.append(own[key][1])
        projected.append(mine)
    for row in rows:
        row.task.track.projected = fresh[id(row.task.track)] if keep else {}
    return projected


def _memory_tokens(
    rows: Sequence[Row], projected: Sequence[Sequence[ProjectedMemory]], like: Tensor, slots: int
) -> MemoryTokens | None:
    """What rows of equal lengths attend to; `slots` is how many temporal codes the network has."""
    plans = [row.plan for row in rows]
    if not plans[0].spatial and not plans[0].pointers:
        return None

    def numbers(values: list[list[float]]) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device)

    vectors = [row.task.track.entries[item.entry].pointer for row in rows for item in row.plan.pointers]
    pointers = torch.stack(vectors).to(like.dtype) if vectors else like.new_empty(0)
    gains = [[item.gain for item in plan.spatial] for plan in plans]
    return MemoryTokens(
        spatial=projected,
        slot=torch.tensor(
            [[_row_of_codes(item.slot, slots) for item in plan.spatial] for plan in plans], device=like.device
        ).long(),
        key_gain=None if all(gain == 1 for row in gains for gain in row) else numbers(gains),
        pointers=pointers.view(len(rows), len(plans[0].pointers), like.shape[1]),
        pointer_distance=numbers([[item.distance / item.normaliser for item in plan.pointers] for plan in plans]),
        pointer_gain=numbers([[item.gain for item in plan.pointers] for plan in plans]),
    )


def _row_of_codes(slot: int | None, slots: int) -> int:
    if slot is None:
        return -1
    if slot >= slots:
        _warn_of_missing_slots(slots)
    return min(slot, slots - 1)


@cache
def _warn_of_missing_slots(slots: int) -> None:
    warnings.warn(
        f"this network has {slots} temporal codes and none for long-term memories, which get the last one instead: "
        "use weights that were trained with long-term memory to have their own",
        stacklevel=2,
    )


def _required(spatial: Tensor | None) -> Tensor:
    if spatial is None:
        raise ValueError("this policy reads spatial memories that it does not have encoded: set spec.encode")
    return spatial


def decode_rows(
    network: Network, features: ImageFeatures, fused: Tensor, rows: Sequence[Row], stability_fallback: bool
) -> list[Decoded]:
    """Each row's candidates; prompts of one kind and size are decoded together."""
    image = image_index(rows, fused.device)
    results: dict[int, Decoded] = {}
    for members in _groups(rows, lambda row: _prompt_kind(row, network.config.mask_prior)):
        prompts = _prompt_tensors(network, [rows[index] for index in members], fused, features.view)
        task = rows[members[0]].task
        multimask = task.track.policy.spec.multimask if task.prompt is None else _is_ambiguous(task.prompt)
        own = features.rows(image[members])
        decoded = network.decode(
            fused[members], own.stride4, own.stride8, prompts, multimask, stability_fallback and task.prompt is not None
        )
        for place, index in enumerate(members):
            one, prompt = row_of(decoded, place), rows[index].task.prompt
            if prompt is not None and prompt.mask is not None:
                one = _mask_as_output(one, prompt.mask, network.config.mask_carried)
            results[index] = one
    return [results[index] for index in range(len(rows))]


def _prompt_kind(row: Row, prior: bool) -> Hashable:
    prompt = row.task.prompt
    if prompt is None:
        return row.task.track.policy.spec.multimask, prior and bool(row.plan.spatial)
    return len(prompt.labels), prompt.previous is None, prompt.mask is None


def _is_ambiguous(prompt: PromptInput) -> bool:
    """One click may mean several things and gets three candidates; more clicks or a box get one (SAM 2)."""
    return prompt.mask is None and len(prompt.labels) <= 1


def _prompt_tensors(network: Network, rows: Sequence[Row], like: Tensor, view: Tensor | None) -> PromptTensors:
    prompts = [row.task.prompt for row in rows]
    given = [prompt for prompt in prompts if prompt is not None]
    if not given:
        if not (network.config.mask_prior and rows[0].plan.spatial):
            return no_prompt(len(rows), like.device)
        prior, carried = _handed_on(network, rows, view)
        return replace(no_prompt(len(rows), like.device), mask_logits=prior.to(like), carried=carried)
    dense: Tensor | None = None
    if given[0].mask is not None:
        dense = network.downsample_mask(_masks_of(given).to(like.dtype))
        return replace(no_prompt(len(rows), like.device), mask_logits=dense)
    if given[0].previous is not None:
        previous = torch.stack([prompt.previous for prompt in given if prompt.previous is not None])[:, None]
        dense = previous.clamp(-HANDED_LIMIT, HANDED_LIMIT).to(like.dtype)
    points = torch.stack([prompt.points for prompt in given]).to(like.device)  # bfloat16 would round them to pixels
    return PromptTensors(points, torch.stack([prompt.labels for prompt in given]).to(like.device), dense)


def _handed_on(network: Network, rows: Sequence[Row], view: Tensor | None) -> tuple[Tensor, CarriedMasks | None]:
    """The (R, 1, s, s) mask that each row's memory hands on, and more of it where masks are carried."""
    newest: list[MemoryEntry] = []
    prompted: list[MemoryEntry | None] = []
    for row in rows:
        read = [row.task.track.entries[item.entry] for item in row.plan.spatial]
        timed = any(item.slot is not None for item in row.plan.spatial)  # where an image stands in a set does not count
        newest.append(nearest(read, row.task.visit, timed))
        said = [entry for entry in read if entry.role == "prompted"]
        asked = nearest(said, row.task.visit, timed) if said else None
        prompted.append(None if asked is newest[-1] else asked)
    prior = handed_masks(newest)
    if view is None or not network.config.mask_carried:
        return prior, None
    carried = carried_masks(newest, prompted, [view[row.task.image] for row in rows])
    return F.interpolate(carried.logits, size=prior.shape[-2:], mode="area"), carried


def _masks_of(prompts: Sequence[PromptInput]) -> Tensor:
    return torch.stack([prompt.mask for prompt in prompts if prompt.mask is not None])[:, None]


def _mask_as_output(decoded: Decoded, mask: Tensor, fine: bool) -> Decoded:
    """The given mask is the answer, to the pixel if it is to be `fine`; only the pointer is the decoder's."""
    logits = (mask.float() * 2 - 1)[None, None] * MASK_LOGIT  # CPUs cannot resize bfloat16 with antialiasing
    low = F.interpolate(logits, size=decoded.masks.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
    low = low.to(decoded.masks)
    score = MASK_LOGIT if bool(mask.any()) else -MASK_LOGIT
    return Decoded(
        low,
        torch.ones_like(decoded.iou[:, :1]),
        torch.full_like(decoded.object_score, score),
        decoded.pointers[:, :1],
        logits if fine else None,
    )
