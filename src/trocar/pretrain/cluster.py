"""Hierarchical k-means with resampling (Vo et al. 2024, "Automatic Data Curation for Self-Supervised Learning").

Level 1 clusters the embeddings, every further level the centroids of the one below; SurgRec has 25,000, 5,000 and 1,000
clusters. k-means puts more clusters where points are dense. So each level is clustered again a few times on the few
points of each cluster that are nearest its centroid: centroids then spread over the space as evenly as the data allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.formats.whole_file import whole_file
from trocar.load import best_device
from trocar.pretrain.embed import Embeddings
from trocar.pretrain.kmeans import Clustering, KMeans, assign, cluster_points
from trocar.pretrain.row_files import notes_of, pyarrow, read_table, write_table

FILE, CENTROIDS = "clusters.parquet", "centroids.npz"
CLUSTER_FIRST = "run `trocar curate cluster DIR` first"


@dataclass(frozen=True)
class Hierarchy:
    """How clips are clustered.

    Args:
        levels: clusters of each level, the lowest (the leaves) first.
        rounds: of resampling at each level.
        kept: points of a cluster that a round keeps at most; 0 for half the mean size of a cluster.
        warm: start a round's k-means from the centroids there are, with `warm_steps`; the published code seeds anew
            with all steps, which costs three times as much.
        warm_steps: see `warm`.
        seed: of all seeding.
        device: "cpu", "cuda" or empty for CUDA where there is some.
        kmeans: every single clustering.
    """

    levels: tuple[int, ...] = (25_000, 5_000, 1_000)
    rounds: int = 10
    kept: int = 0
    warm: bool = False
    warm_steps: int = 10
    seed: int = 0
    device: str = ""
    kmeans: KMeans = field(default_factory=KMeans)


@dataclass(frozen=True, eq=False)
class Tree:
    """Clips in a hierarchy of clusters.

    Args:
        clips: their ids.
        labels: (levels, clips) int64: the cluster of each clip at each level, the leaves first.
        distances: (clips,) float32, squared, to the centroid of its leaf.
        centroids: (clusters, D) of each level.
        notes: of the embeddings, and of the clustering.
    """

    clips: tuple[str, ...]
    labels: NDArray[np.int64]
    distances: NDArray[np.float32]
    centroids: tuple[NDArray[np.float32], ...]
    notes: Mapping[str, str]


def cluster(found: Embeddings, settings: Hierarchy, progress: Callable[[str], None] | None = None) -> Tree:
    """Cluster embeddings.

    Args:
        progress: told in words what is being done.

    Raises:
        ValueError: levels do not shrink, or there are fewer clips than leaves.
    """
    counts = (len(found.clips), *settings.levels)
    if not settings.levels or any(below < above for below, above in pairwise(counts)):
        raise ValueError(
            f"{len(found.clips)} clips cannot make {', '.join(map(str, settings.levels))} clusters: every level must "
            "have fewer than the one below; set cluster.levels"
        )
    device = settings.device or ("cuda" if best_device() == "cuda" else "cpu")
    points = torch.from_numpy(found.vectors).to(device)
    labels: list[Tensor] = []
    centroids: list[Tensor] = []
    distances = torch.empty(0)
    for level, k in enumerate(settings.levels):
        result = _level(points, k, settings, level, progress)
        labels.append(result.labels if level == 0 else result.labels[labels[-1]])
        centroids.append(result.centroids)
        distances = result.distances if level == 0 else distances
        points = result.centroids
    notes = {**found.notes, "levels": ",".join(map(str, settings.levels)), "cluster_seed": str(settings.seed)}
    return Tree(
        found.clips,
        torch.stack(labels).cpu().numpy(),
        distances.cpu().numpy(),
        tuple(one.cpu().numpy() for one in centroids),
        notes,
    )


def _level(
    points: Tensor, k: int, settings: Hierarchy, level: int, progress: Callable[[str], None] | None
) -> Clustering:
    """One level: k-means, then rounds of resampling."""
    say = progress or (lambda said: None)
    seed = settings.seed * 1000 + level * 100
    say(f"level {level + 1}: {len(points)} points into {k} clusters")
    result = cluster_points(points, k, settings.kmeans, seed)
    kept = settings.kept or max(1, math.ceil(len(points) / k / 2))
    for number in range(settings.rounds):
        chosen = nearest_of_each(result.labels, result.distances, kept)
        if len(chosen) < k:  # clusters without points
            break
        say(f"level {level + 1}: round {number + 1} of {settings.rounds} on {len(chosen)} points")
        how = settings.kmeans
        if settings.warm:
            how = KMeans(settings.warm_steps, how.still, how.seeding, how.engine, how.axes)
        again = cluster_points(points[chosen], k, how, seed + number + 1, result.centroids if settings.warm else None)
        result = _assigned_to(points, again.centroids)
    return result


def _assigned_to(points: Tensor, centroids: Tensor) -> Clustering:
    """All points at given centroids, which stay as they are: they need not be the means."""
    labels = assign(points, centroids)
    parts = zip(points.split(8192), labels.split(8192), strict=True)
    distances = torch.cat([(part - centroids[own]).square().sum(1) for part, own in parts])
    return Clustering(centroids, labels, distances, float(distances.double().sum()))


def nearest_of_each(labels: Tensor, distances: Tensor, count: int) -> Tensor:
    """Numbers, ascending, of the `count` points of every cluster that are nearest its centroid."""
    order = distances.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]
    sizes = torch.bincount(labels)
    first = sizes.cumsum(0) - sizes
    rank = torch.arange(len(order), device=order.device) - first[labels[order]]
    return order[rank < count].sort().values


def write_tree(folder: Path, tree: Tree) -> None:
    """Write the centroids and, last, the clusters of all clips."""
    with whole_file(folder / CENTROIDS) as temporary, temporary.open("wb") as file:
        named: dict[str, Any] = {f"level{number}": one for number, one in enumerate(tree.centroids, 1)}
        np.savez(file, **named)
    columns = {f"level{number}": one for number, one in enumerate(tree.labels, 1)}
    table = pyarrow().table({"clip": list(tree.clips), **columns, "distance": tree.distances})
    write_table(folder / FILE, table, tree.notes)


def read_tree(folder: Path, embeddings: Embeddings) -> Tree:
    """A hierarchy of these embeddings.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of other embeddings, or damaged.
    """
    table = read_table(folder / FILE, CLUSTER_FIRST)
    notes = notes_of(table)
    if any(notes.get(key) != value for key, value in embeddings.notes.items()):
        raise ValueError(f"{folder / FILE} was made from other embeddings than are there now: {CLUSTER_FIRST}")
    levels = notes.get("levels", "").split(",")
    clips = tuple(table.column("clip").to_pylist())
    if clips != embeddings.clips or not (folder / CENTROIDS).is_file():
        raise ValueError(f"{folder / FILE} does not list the clips that are embedded: {CLUSTER_FIRST}")
    with np.load(folder / CENTROIDS) as stored:
        centroids = tuple(np.asarray(stored[f"level{number}"]) for number in range(1, len(levels) + 1))
    labels = np.stack([np.asarray(table.column(f"level{number}")) for number in range(1, len(levels) + 1)])
    return Tree(clips, labels, np.asarray(table.column("distance"), np.float32), centroids, notes)
