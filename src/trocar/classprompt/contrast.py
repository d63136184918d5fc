"""Contrastive prototype learning (SurgicalSAM, section 3.3): prototypes are pulled towards the features of their class.

Two forms, since paper and release differ. Both take R class embeddings, each of one image and one class in it.

* "paper", equation 11: plain dot products, one embedding a class (here the mean of a batch's); each prototype among the
  embeddings of all classes.
* "release": NT-Xent over the batch. Cosines; each embedding of a prototype's class is a positive of its own, held
  against all embeddings of other classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.classprompt.config import Contrast


def class_embeddings(features: Tensor, masks: Tensor) -> Tensor:
    """The mean feature inside a mask (equation 10): (R, D, h, w) and (R, H, W) in 0..1 -> (R, D).

    Masks are averaged over the cells of the map, so that a part of a cell counts as a part and a thin instrument is not
    lost; the release resizes them bilinearly and takes a threshold instead. An empty mask gives zeros.
    """
    height, width = features.shape[-2:]
    inside = F.adaptive_avg_pool2d(masks[:, None].to(features.dtype), (height, width)).flatten(1)
    total = inside.sum(1, keepdim=True)
    mean = torch.einsum("rdp,rp->rd", features.flatten(2), inside) / total.clamp(min=torch.finfo(features.dtype).tiny)
    return torch.where(total > 0, mean, torch.zeros_like(mean))


def paper_contrast(prototypes: Tensor, embeddings: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Equation 11, with one embedding for each class that the batch shows: the mean of those that it has.

    Args:
        prototypes: (K, D).
        embeddings: (R, D).
        classes: (R,) long.
        temperature: tau.

    Returns:
        A scalar, the mean over the classes that are there; 0 if it is one class alone.
    """
    present, of = torch.unique(classes, return_inverse=True)
    member = F.one_hot(of, len(present)).to(embeddings.dtype)
    means = (member.T @ embeddings) / member.sum(0)[:, None]
    logits = prototypes[present] @ means.T / temperature
    return F.cross_entropy(logits, torch.arange(len(present), device=logits.device))


def nt_xent(prototypes: Tensor, embeddings: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """The release's form: normalised temperature-scaled cross-entropy (Sohn 2016; Chen et al. 2020).

    A pair is a prototype and an embedding of its class. It is held against the embeddings of all other classes, not
    against the other positives.

    Args:
        prototypes: (K, D).
        embeddings: (R, D).
        classes: (R,) long.
        temperature: tau.

    Returns:
        A scalar, the mean over pairs; 0 where all embeddings are of one class, as nothing is held against them.
    """
    cosines = F.normalize(prototypes, dim=1) @ F.normalize(embeddings, dim=1).T / temperature  # (K, R)
    own = classes[None] == torch.arange(len(prototypes), device=classes.device)[:, None]
    others = cosines.masked_fill(own, torch.finfo(cosines.dtype).min).logsumexp(1)  # (K,)
    positive = cosines.gather(0, classes[None])[0]  # (R,)
    return F.softplus(others[classes] - positive).mean()  # log(e^p + e^others) - p, exact where p is large


def contrast_loss(
    kind: Contrast, prototypes: Tensor, embeddings: Tensor, classes: Tensor, temperature: float
) -> Tensor:
    """The contrast of the kind that a head was made for; 0 for "none"."""
    if kind == "none":
        return prototypes.new_zeros(())
    form = paper_contrast if kind == "paper" else nt_xent
    return form(prototypes, embeddings, classes, temperature)
