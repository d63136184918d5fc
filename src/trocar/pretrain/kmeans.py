"""k-means on many points: exact in torch on GPUs and CPUs, or on the main axes by faiss where there is no GPU.

Distances are exact float32 products of tiles; sums of clusters are float64, so that they do not depend on the order of
millions of additions more than needed. "float32" means it: TF32 is switched off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Engine = Literal["auto", "exact", "pca"]
Seeding = Literal["auto", "kmeans++", "afk-mc2", "random"]
TILE = 1 << 27
"""Numbers in a tile of distances, 0.5 GB."""
CHAIN = 100
"""Length of an AFK-MC2 chain (Bachem et al. 2016, who use 200 and less)."""


@dataclass(frozen=True)
class KMeans:
    """How one clustering is made.

    Args:
        steps: Lloyd's steps at most; it stops when no point changes its cluster, or nearly none (`still`).
        still: share of points; when fewer change their cluster in a step, it stops. 0 waits for none.
        seeding: "kmeans++" (greedy, 2 + ln k trials), "afk-mc2" (nearly as good, much cheaper), "random", or "auto":
            the first on GPUs and for few clusters, else the second.
        engine: "exact", or "pca": faiss on the `axes` main axes with an exact last assignment; "auto" takes "pca" on
            CPUs when there are more dimensions than axes and more than 2,000 clusters.
        axes: see `engine`.
    """

    steps: int = 50
    still: float = 0.0
    seeding: Seeding = "auto"
    engine: Engine = "auto"
    axes: int = 128


@dataclass(frozen=True, eq=False)
class Clustering:
    """Points in clusters.

    Args:
        centroids: (k, D) float32, the means of their points.
        labels: (n,) int64.
        distances: (n,) float32, squared, of each point to its centroid.
        potential: their sum.
    """

    centroids: Tensor
    labels: Tensor
    distances: Tensor
    potential: float


def cluster_points(points: Tensor, k: int, settings: KMeans, seed: int, start: Tensor | None = None) -> Clustering:
    """Cluster points.

    Args:
        points: (n, D) float32, on the device to compute on.
        k: how many clusters.
        seed: of the seeding.
        start: (k, D) centroids to start from instead of seeding.

    Raises:
        ValueError: fewer points than clusters, or numbers that are not finite.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"{len(points)} points cannot make {k} clusters: ask for fewer, or embed more clips")
    if not bool(torch.isfinite(points).all()):
        raise ValueError("some points are not finite: embed those clips again")
    with _exact_products():
        if start is None:
            start = points[_seeds(points, k, settings, seed)]
        on_axes = settings.engine == "pca" or (
            settings.engine == "auto" and points.device.type == "cpu" and k > 2000 and points.shape[1] > settings.axes
        )
        if on_axes:
            start = _lloyd_on_axes(points, start, settings)
            return _finished(points, *_assigned(points, start), start)
        return _lloyd(points, start.clone(), settings)


@contextmanager
def _exact_products() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _lloyd(points: Tensor, centroids: Tensor, settings: KMeans) -> Clustering:
    labels, distances = _assigned(points, centroids)
    for _ in range(settings.steps):
        centroids = _means(points, labels, centroids, distances)
        before = labels
        labels, distances = _assigned(points, centroids)
        if int((labels != before).sum()) <= settings.still * len(points):
            break
    return _finished(points, labels, distances, centroids)


def _finished(points: Tensor, labels: Tensor, distances: Tensor, centroids: Tensor) -> Clustering:
    """The clustering with centroids that are the means of their points."""
    means = _means(points, labels, centroids, distances)
    difference = torch.empty(len(points), device=points.device)
    for rows in _tiles(len(points), points.shape[1]):
        difference[rows] = (points[rows] - means[labels[rows]]).square().sum(1)
    return Clustering(means, labels, difference, float(difference.double().sum()))


def assign(points: Tensor, centroids: Tensor) -> Tensor:
    """(n,) the nearest centroid of each point."""
    with _exact_products():
        return _assigned(points, centroids)[0]


def _assigned(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each point, and its squared distance."""
    lengths = centroids.square().sum(1)
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    distances = torch.empty(len(points), device=points.device)
    for rows in _tiles(len(points), len(centroids)):
        tile = torch.addmm(lengths, points[rows], centroids.T, alpha=-2)
        nearest, labels[rows] = tile.min(1)
        distances[rows] = (nearest + points[rows].square().sum(1)).clamp_(min=0)
    return labels, distances


def _tiles(count: int, width: int) -> Iterator[slice]:
    step = max(1, TILE // max(1, width))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _means(points: Tensor, labels: Tensor, centroids: Tensor, distances: Tensor) -> Tensor:
    """The mean of each cluster; one without points moves to the point that is farthest from its own centroid."""
    k, width = centroids.shape
    sums = torch.zeros(k, width, dtype=torch.float64, device=points.device)
    for rows in _tiles(len(points), 2 * width):
        sums.index_add_(0, labels[rows], points[rows].double())
    counts = torch.bincount(labels, minlength=k)
    means = (sums / counts.clamp(min=1)[:, None]).float()
    empty = (counts == 0).nonzero()[:, 0]
    if len(empty):
        means[empty] = points[distances.topk(len(empty)).indices]
    return means


def _seeds(points: Tensor, k: int, settings: KMeans, seed: int) -> Tensor:
    """Numbers of the points to start from."""
    rng = np.random.default_rng([31, seed])
    how = settings.seeding
    if how == "auto":
        how = "kmeans++" if points.device.type != "cpu" or k <= 1000 else "afk-mc2"
    if how == "random":
        chosen = rng.permutation(len(points))[:k]
    else:
        chosen = _greedy(points, k, rng) if how == "kmeans++" else _markov(points, k, rng)
    return torch.from_numpy(chosen).to(points.device)


def _greedy(points: Tensor, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): of 2 + ln k candidates, drawn by distance, the best."""
    trials = 2 + int(math.log(k))
    lengths = points.square().sum(1)
    chosen = np.empty(k, np.int64)
    chosen[0] = rng.integers(len(points))
    nearest = _to_points(points, lengths, chosen[:1])[0]
    for number in range(1, k):
        upto = nearest.double().cumsum(0)
        if float(upto[-1]) <= 0:  # fewer different points than clusters
            rest = np.setdiff1d(np.arange(len(points)), chosen[:number])
            chosen[number:] = rng.permutation(rest)[: k - number]
            break
        draws = torch.from_numpy(rng.random(trials)).to(points.device) * upto[-1]
        candidates = torch.searchsorted(upto, draws).clamp_(max=len(points) - 1)
        reach = torch.minimum(nearest, _to_points(points, lengths, candidates))
        best = int(reach.double().sum(1).argmin())
        chosen[number], nearest = int(candidates[best]), reach[best]
    return chosen


def _markov(points: Tensor, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """AFK-MC2 (Bachem et al. 2016): k-means++'s distribution by short Markov chains, without passes over all points."""
    lengths = points.square().sum(1)
    chosen = np.empty(k, np.int64)
    chosen[0] = rng.integers(len(points))
    away = _to_points(points, lengths, chosen[:1])[0].double().cpu().numpy()
    proposal = 0.5 * away / max(away.sum(), 1e-300) + 0.5 / len(points)
    proposal /= proposal.sum()
    upto = proposal.cumsum()
    for number in range(1, k):
        walk = np.minimum(np.searchsorted(upto, rng.random(CHAIN)), len(points) - 1)
        so_far = torch.from_numpy(chosen[:number]).to(points.device)
        tile = torch.cdist(points[torch.from_numpy(walk).to(points.device)], points[so_far])
        weight = tile.min(1).values.double().cpu().numpy() ** 2 / proposal[walk]
        at = 0
        for step, chance in enumerate(rng.random(CHAIN - 1), 1):
            if weight[at] <= 0 or weight[step] / weight[at] > chance:
                at = step
        chosen[number] = walk[at]
    return chosen


def _to_points(points: Tensor, lengths: Tensor, numbers: Any) -> Tensor:
    """(m, n) squared distances of all points to the points with these numbers."""
    centres = torch.as_tensor(numbers, device=points.device)
    tile = torch.addmm(lengths, points[centres], points.T, alpha=-2) + lengths[centres][:, None]
    tile[torch.arange(len(centres), device=points.device), centres] = 0
    return tile.clamp_(min=0)


def _lloyd_on_axes(points: Tensor, start: Tensor, settings: KMeans) -> Tensor:
    """Centroids by faiss' Lloyd on the main axes: means, in all dimensions, of the clusters that it finds."""
    try:
        import faiss
    except ImportError as error:
        raise ValueError("clustering on main axes needs faiss: pip install 'trocar[pretrain]'") from error
    middle = points.mean(0)
    centred = points - middle
    covariance = (centred.T @ centred / len(points)).double()
    axes = torch.linalg.eigh(covariance).eigenvectors[:, -min(settings.axes, points.shape[1]) :].float()
    flat = np.ascontiguousarray((centred @ axes).cpu().numpy())
    first = np.ascontiguousarray(((start - middle) @ axes).cpu().numpy())
    found = faiss.Kmeans(
        flat.shape[1], len(start), niter=settings.steps, max_points_per_centroid=len(flat), min_points_per_centroid=1
    )
    found.train(flat, init_centroids=first)
    labels = torch.from_numpy(found.index.search(flat, 1)[1][:, 0]).to(points.device)
    return _means(points, labels, start, (points - start[labels]).square().sum(1))
