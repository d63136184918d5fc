"""SAM2Long's paths of masks and which of them survive a frame (Ding et al. 2024); `tree` says how it is used."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

from trocar.memory.seam import Candidates, Choice, EntryId

LEAST_IOU = 1e-5  # added to predicted IoU before the logarithm
COPIES = "copies"  # tag of a choice: of how many equal paths it is, where of more than one

Offer = tuple[float, int, int]  # score, which of the P paths, candidate


class Pathway(TypedDict):
    """One hypothesis: its score, how many equal ones it stands for, its qualified frames and its newest, by time."""

    score: float
    copies: int
    qualified: dict[int, EntryId]
    newest: dict[int, EntryId]


def survivors(
    paths: Sequence[Pathway], candidates: Sequence[Candidates], limit: int, uncertainty: float
) -> list[Choice]:
    """Rank all candidates of all paths and take at most `limit`, best first.

    Args:
        paths: living hypotheses.
        candidates: of each of them.
        limit: P, how many paths, counting equal ones.
        uncertainty: largest absolute object score above which the frame is certain.
    """
    parents = [index for index, path in enumerate(paths) for _ in range(path["copies"])]
    offers = [
        (paths[parent]["score"] + math.log(iou + LEAST_IOU), copy, candidate)
        for copy, parent in enumerate(parents)
        for candidate, iou in enumerate(candidates[parent].iou)
    ]
    offers.sort(key=lambda offer: -offer[0])
    if max(abs(offered.object_score) for offered in candidates) > uncertainty:
        kept = offers[:limit]
    else:
        kept = _different(offers, [candidates[parent] for parent in parents], limit)
    # Scores relative to the best path's change no ranking, and stay small however long the video is.
    copies = Counter((score - kept[0][0], parents[copy], candidate) for score, copy, candidate in kept)
    return [
        Choice(parent, candidate, candidates[parent].object_score > 0, score, copies_tag(number))
        for (score, parent, candidate), number in sorted(copies.items(), key=lambda item: -item[0][0])
    ]


def copies_tag(number: int) -> dict[str, float]:
    return {COPIES: number} if number > 1 else {}


def _different(offers: Sequence[Offer], candidates: Sequence[Candidates], limit: int) -> list[Offer]:
    """The best offers of unlike predicted IoU, then those of paths without any; `candidates` of each of the P paths."""
    unlike: dict[float, Offer] = {}
    for offer in offers:
        _, copy, candidate = offer
        sign = 1 if candidates[copy].object_score > 0 else -1
        unlike.setdefault(round(sign * candidates[copy].iou[candidate], 2), offer)
    kept = list(unlike.values())[:limit]
    covered = {copy for _, copy, _ in kept}
    for offer in offers:
        if offer[1] not in covered and len(kept) < limit:
            kept.append(offer)
            covered.add(offer[1])
    return kept
