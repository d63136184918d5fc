"""From the decoder's candidates to memory entries: who survives, what the mask is, what is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.memory.seam import Candidates, Choice, MemoryEntry, best_candidate
from trocar.model.network import Network
from trocar.model.tensors import Decoded, ImageFeatures
from trocar.track.economy import Economy
from trocar.track.rows import Row, Task

ABSENT_LOGIT = -1024.0  # every pixel of an object that is judged absent (SAM 2)
SUPPRESSED_LOGIT = -10.0  # a pixel that belongs to another object (SAM 2, non-overlapping masks)


@dataclass(frozen=True)
class StepSettings:
    """How a step is carried out.

    Args:
        non_overlap: let every pixel belong to the object with the largest logit, in the masks and in the memory.
        stability_fallback: SAM 2's rule for unstable single masks of prompts; off in training.
        binarize_prompted: SAM 2 encodes the masks of prompted frames as 0/1 when it runs; off in training.
        entry_dtype: how spatial memories are stored (SAM 2: bfloat16); None as computed.
        seed: of the policies' random streams.
        economy: work that is left out for a price.
    """

    non_overlap: bool = False
    stability_fallback: bool = True
    binarize_prompted: bool = True
    entry_dtype: torch.dtype | None = None
    seed: int = 0
    economy: Economy = field(default_factory=Economy)


@dataclass(frozen=True, eq=False)
class Survivor:
    """A chosen candidate: of which task, decoded from which (D, h, w) fused feature, as what, of what class."""

    task: Task
    fused: Tensor
    decoded: Decoded
    choice: Choice
    candidates: Candidates
    class_logits: Tensor | None

    @property
    def prompted(self) -> bool:
        return self.task.prompt is not None


def choose_rows(
    rows: Sequence[Row], fused: Tensor, decoded: Sequence[Decoded], classes: Sequence[Tensor | None]
) -> list[Survivor]:
    """Each policy's choice among all its rows; on a prompted frame the user's word, so the best single candidate."""
    survivors = []
    by_task: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_task.setdefault(id(row.task), []).append(index)
    for members in by_task.values():
        task = rows[members[0]].task
        offered = [_candidates(decoded[index]) for index in members]
        choices = best_candidate(offered) if task.prompt is not None else task.track.policy.choose(task.visit, offered)
        for one in choices:
            at = members[one.parent]
            survivors.append(Survivor(task, fused[at], decoded[at], one, offered[one.parent], classes[at]))
    return survivors


def _candidates(decoded: Decoded) -> Candidates:
    return Candidates(
        decoded.masks[0].detach(), decoded.iou[0].detach().float().tolist(), float(decoded.object_score[0].detach())
    )


def chosen_logits(survivors: Sequence[Survivor]) -> Tensor:
    """(K, s, s) low-resolution logits of the survivors."""
    masks = []
    for one in survivors:
        mask = one.decoded.masks[0, one.choice.candidate]
        masks.append(mask if one.choice.present else torch.full_like(mask, ABSENT_LOGIT))
    return torch.stack(masks)


def suppress_overlap(logits: Tensor) -> Tensor:
    """(K, H, W) logits of K objects: per pixel the largest stays, the others go to -10 or below."""
    if len(logits) < 2:
        return logits
    largest = logits.argmax(dim=0, keepdim=True)
    index = torch.arange(len(logits), device=logits.device)[:, None, None]
    return torch.where(index == largest, logits, logits.clamp(max=SUPPRESSED_LOGIT))


def encode_rows(
    network: Network,
    features: ImageFeatures,
    survivors: Sequence[Survivor],
    logits: Tensor,
    settings: StepSettings,
) -> Tensor | None:
    """(K, 64, h, w) spatial memories of the survivors; None where no policy reads any."""
    if not any(one.task.track.policy.spec.encode for one in survivors):
        return None
    side = features.stride4.shape[-1] * 4
    large = upsampled(logits, side)[:, None]
    if settings.non_overlap:
        large = _suppress_other_objects(large, survivors)
    hard = [
        (one.prompted and settings.binarize_prompted) or one.task.track.policy.spec.mask == "hard" for one in survivors
    ]
    shape = (-1, 1, 1, 1)
    mask = torch.where(torch.tensor(hard, device=large.device).view(shape), (large > 0).to(large), large.sigmoid())
    raw = features.stride16
    if len(raw) > 1:  # one image is given once, however many objects are in it
        raw = raw[[one.task.image for one in survivors]]
    conditioned = [one.task.track.policy.spec.feature == "conditioned" for one in survivors]
    if any(conditioned):
        seen = torch.stack([one.fused for one in survivors])
        raw = torch.where(torch.tensor(conditioned, device=raw.device).view(shape), seen, raw)
    present = torch.tensor([one.choice.present for one in survivors], device=large.device)
    return network.encode_memory(raw, mask, present)


def _suppress_other_objects(large: Tensor, survivors: Sequence[Survivor]) -> Tensor:
    """Overlap among the objects of one image; every hypothesis of an object is held against the others' best."""
    resolved = large.clone()
    firsts: dict[tuple[int, int], Tensor] = {}
    for one, own in zip(survivors, large, strict=True):
        firsts.setdefault((one.task.image, one.task.track.object_id), own[0])
    for index, one in enumerate(survivors):
        rivals = {name: mask for (image, name), mask in firsts.items() if image == one.task.image}
        rivals |= {name: upsampled(mask[None], large.shape[-1])[0] for name, mask in one.task.standing}
        rivals[one.task.track.object_id] = large[index, 0]
        # The order of ids decides ties, as it does for the masks that the user sees.
        names = sorted(rivals)
        suppressed = suppress_overlap(torch.stack([rivals[name] for name in names]))
        resolved[index] = suppressed[names.index(one.task.track.object_id)]
    return resolved


def upsampled(logits: Tensor, side: int) -> Tensor:
    """(K, s, s) logits at the size of the network's input: (K, side, side)."""
    return F.interpolate(logits[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0]


def make_entries(
    network: Network,
    features: ImageFeatures,
    survivors: Sequence[Survivor],
    logits: Tensor,
    spatial: Tensor | None,
    dtype: torch.dtype | None,
) -> list[MemoryEntry]:
    """One entry a survivor."""
    entries = []
    for index, (one, (area, box)) in enumerate(zip(survivors, extents(logits), strict=True)):
        choice, spec = one.choice, one.task.track.policy.spec
        pointer = one.decoded.pointers[0, choice.candidate] if choice.present else network.absent_pointer[0]
        entries.append(
            MemoryEntry(
                id=one.task.track.new_id(),
                time=one.task.visit.time,
                role="prompted" if one.prompted else "tracked",
                spatial=spatial[index].to(dtype or spatial.dtype) if spatial is not None and spec.encode else None,
                pointer=pointer,
                logits=logits[index],
                iou=float(one.candidates.iou[choice.candidate]),
                object_score=one.candidates.object_score,
                present=choice.present,
                area=area,
                box=box,
                feature=_kept_feature(one, features),
                tags=choice.tags,
                class_logits=one.class_logits,
                view=None if features.view is None else features.view[one.task.image],
                fine=_fine(one),
            )
        )
    return entries


def _fine(one: Survivor) -> Tensor | None:
    """The chosen mask as well as it is known; many times larger, and so in half precision where no gradients pass."""
    if one.decoded.fine is None or not one.choice.present:
        return None
    mask = one.decoded.fine[0, one.choice.candidate]
    return mask if torch.is_grad_enabled() else mask.half()


def _kept_feature(one: Survivor, features: ImageFeatures) -> Tensor | None:
    match one.task.track.policy.spec.keep_feature:
        case "raw":
            return features.stride16[one.task.image]
        case "conditioned":
            return one.fused
        case _:
            return None


def extents(logits: Tensor) -> list[tuple[int, tuple[int, int, int, int] | None]]:
    """Area and tight box of each low-resolution mask."""
    masks = (logits.detach() > 0).cpu().numpy()
    extents: list[tuple[int, tuple[int, int, int, int] | None]] = []
    for mask in masks:
        rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1) if len(rows) else None
        extents.append((int(mask.sum()), box))
    return extents
