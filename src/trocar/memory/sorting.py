"""The arithmetic of MedSAM-2's bank: who leaves a full bank, and how often each member is read (Zhu et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def unit_vectors(maps: Iterable[Tensor | None]) -> Tensor:
    """(N, D) unit vectors of N maps of one shape, flattened. The maps are there: the policy had the loop keep them."""
    return F.normalize(torch.stack([one.detach().float().flatten() for one in maps if one is not None]), dim=1)


def likeness(query: Tensor, maps: Iterable[Tensor | None]) -> NDArray[np.float64]:
    """Cosine of a (C, h, w) map and each of N others."""
    units = unit_vectors([query, *maps])
    return (units[1:] @ units[0]).cpu().numpy().astype(np.float64)


def least_dissimilar(units: Tensor) -> int:
    """The paper's rule: of N unit vectors the one whose 1 - cosine to the others sum to the least, of equals the last.

    Args:
        units: (N, D).
    """
    total = (1 - (units @ units.T).fill_diagonal_(1)).sum(dim=1).tolist()
    return min(range(len(total)), key=lambda index: (total[index], -index))


def release_victim(units: Tensor, iou: Sequence[float], margin: float) -> int:
    """The released 2-D rule: whose place the newcomer, which comes last, takes; its own where it is dropped.

    Let i be the member least like the newcomer and j the one most like i. j leaves if the newcomer is less like i than
    j is, and its IoU is more than j's less the margin.

    Args:
        units: (N, D).
        iou: N predicted IoUs.
        margin: see above.
    """
    cosines = units @ units.T
    new, old = cosines[-1, :-1], cosines[:-1, :-1].fill_diagonal_(-torch.inf)
    least = int(new.argmin())
    victim = int(old[least].argmax())
    gives_way = bool(new[least] < old[least, victim]) and iou[-1] > iou[victim] - margin
    return victim if gives_way else len(iou) - 1


def proportional(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """The paper's probabilities (equation 4); negative cosines count as 0, and if none is above 0 all are alike."""
    weight = cosines.clip(min=0)
    return _normalised(weight if weight.any() else np.ones_like(weight))


def softmax(cosines: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The release's probabilities."""
    return _normalised(np.exp((cosines - cosines.max()) / temperature))


def _normalised(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    probability: NDArray[np.float64] = weight / weight.sum()
    return probability


def shares(probability: NDArray[np.float64], draws: int) -> NDArray[np.int64]:
    """How often each of N is read when `draws` readings are shared out by largest remainder; of equals the first."""
    quota = probability * draws
    times = np.floor(quota).astype(np.int64)
    by_remainder = np.argsort(times - quota, kind="stable")
    times[by_remainder[: draws - int(times.sum())]] += 1
    return times
