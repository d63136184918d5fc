"""Which class the inside of a mask looks like: linear discriminants on the features of all levels.

A class's prompt finds instruments of other classes too when it is not there itself. What it found is therefore looked
at again, by itself: the mean and the spread of each channel inside the mask, of every level of the features, are held
against those of the training samples (Fisher 1936; Rao 1948, with one covariance for all classes). SurgicalSAM has no
such thing, since it is told which classes a frame shows. A class more needs no training: it is one mean more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trocar.model.tensors import ImageFeatures

SHRINKAGE = 0.03  # of the covariance to its diagonal


def appearance(features: ImageFeatures, inside: Tensor, frame: Tensor) -> Tensor:
    """The mean and the spread (standard deviation) of each channel inside R masks, (R, E); zeros for an empty mask.

    Args:
        features: of F frames; E is twice their channels, over all levels.
        inside: (R, s, s) how much each place belongs to the mask, 0..1.
        frame: (R,) long, the frame that each mask is on.
    """
    parts = []
    for level in (features.stride16, features.stride8, features.stride4):
        if not level.shape[1]:  # SAM has one level
            continue
        rows, columns = level.shape[-2:]
        share = F.adaptive_avg_pool2d(inside[:, None].float(), (rows, columns)).flatten(1)
        share = share / share.sum(1, keepdim=True).clamp(min=1e-6)
        values = level.float().flatten(2)[frame]
        mean = torch.einsum("rdp,rp->rd", values, share)
        square = torch.einsum("rdp,rp->rd", values**2, share)
        parts += [mean, (square - mean**2).clamp(min=0).sqrt()]
    return torch.cat(parts, dim=1)


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen inside N masks: their (N, E) appearance, and their (N,) class, -1 for the ground."""

    numbers: Tensor
    classes: Tensor


class Likeness(nn.Module):
    """How like its own class a mask looks, against the other classes and against the ground.

    Args:
        count: K classes.
        size: E numbers of a mask's appearance; 0 before anything was fitted: then nothing is like anything.
    """

    middle: Tensor
    whiten: Tensor
    means: Tensor

    def __init__(self, count: int, size: int = 0) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(size))
        self.register_buffer("whiten", torch.zeros(size, size))
        self.register_buffer("means", torch.full((count + 1, size), torch.nan))  # the last row is the ground's

    def fit(self, seen: Seen) -> None:
        """Fit to what was seen. A class without a mask is like nothing."""
        count = len(self.means) - 1
        numbers = seen.numbers.double()
        of = torch.where(seen.classes < 0, count, seen.classes)
        middle, spread = numbers.mean(0), numbers.std(0).clamp(min=1e-6)
        scaled = (numbers - middle) / spread
        means = torch.full((count + 1, scaled.shape[1]), torch.nan, dtype=scaled.dtype, device=scaled.device)
        for number in of.unique().tolist():
            means[number] = scaled[of == number].mean(0)
        within = scaled - means[of]
        covariance = within.T @ within / len(within)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * torch.diag(covariance.diagonal() + 1e-6)
        # whiten @ whiten.T is the inverse of the covariance.
        whiten = torch.linalg.inv(torch.linalg.cholesky(covariance)).T
        self.middle, self.whiten = middle.float(), (whiten / spread[:, None]).float()
        self.means = (means @ whiten).float()

    def add(self, numbers: Tensor) -> None:
        """A class more, after the others, by the (N, E) appearance of a few masks of it."""
        if len(self.middle):
            own = ((numbers - self.middle) @ self.whiten).mean(0, keepdim=True)
        else:
            own = self.means.new_zeros(1, 0)
        self.means = torch.cat((self.means[:-1], own, self.means[-1:]))

    def forward(self, numbers: Tensor, classes: Tensor, trained: int) -> Tensor:
        """The logarithm of the probability that each of R masks shows its class, (R,), all classes alike likely before.

        Args:
            numbers: (R, E) appearance.
            classes: (R,) long, the class that each was found for.
            trained: how many classes, the first ones, were trained together. They, the ground and the row's own class
                are weighed, so that a class which was added later changes nothing for the others.
        """
        if not len(self.middle):
            return numbers.new_zeros(len(numbers))
        seen = (numbers - self.middle) @ self.whiten
        known = torch.cat((self.means[:trained], self.means[-1:]))
        scores = _scores(seen, known).nan_to_num(-torch.inf)
        own = (seen * self.means[classes]).sum(1) - (self.means[classes] ** 2).sum(1) / 2
        own = own.nan_to_num(-torch.inf)
        every = torch.where((classes >= trained)[:, None], own[:, None], -torch.inf)
        return own - torch.cat((scores, every), dim=1).logsumexp(1)


def _scores(seen: Tensor, means: Tensor) -> Tensor:
    """(R, E) and (M, E) -> (R, M), the logarithms of the likelihoods but for a constant of each row."""
    return seen @ means.T - (means**2).sum(1) / 2
