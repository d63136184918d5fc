"""A balanced sample of clips: a budget poured over the tree of clusters from the top, like water into vessels.

Vo et al. 2024, section 3.3. A cluster's share is divided among its children so that each gets the same number, except
that none gets more than it has; what small ones cannot take rises in the others. So rare kinds of clips are kept whole
and frequent ones are cut down. Within a leaf, clips are taken by their distance to the centroid or at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trocar.pretrain.cluster import Tree
from trocar.pretrain.corpus import Clip, Corpus, fingerprint
from trocar.pretrain.guard import refuse_test_videos
from trocar.pretrain.row_files import notes_of, read_rows, read_table, write_rows

FILE = "sample.parquet"
SAMPLE_FIRST = "run `trocar curate sample DIR` first"
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sampling:
    """How much is chosen, and how.

    Args:
        share: of the clips.
        within: what a leaf gives first: its clips "nearest" to the centroid, or "random" ones.
        alike: cosine above which two clips of a leaf count as near duplicates, of which only one can be chosen; 1
            keeps all. What is nearest to the centroid lies dense, so that without this its neighbours would be alike.
        seed: of everything random.
    """

    share: float = 0.1
    within: Literal["nearest", "random"] = "nearest"
    alike: float = 0.96
    seed: int = 0


@dataclass(frozen=True)
class Chosen:
    """One clip of the sample.

    Args:
        clip: its id.
        leaf, top: its clusters at the lowest and the highest level.
    """

    clip: str
    leaf: int
    top: int


def sample(tree: Tree, vectors: NDArray[np.float32], settings: Sampling) -> list[Chosen]:
    """Choose clips.

    Args:
        tree: of the clips.
        vectors: (clips, D) of length 1, in the tree's order; needed where near duplicates are left out.

    Returns:
        The chosen clips, in the order of the tree's.

    Raises:
        ValueError: a share outside 0..1, or one that leaves no clip.
    """
    budget = round(settings.share * len(tree.clips))
    if not 0 < settings.share <= 1 or budget < 1:
        raise ValueError(f"sampling.share {settings.share} of {len(tree.clips)} clips: choose 1 at most, and one clip")
    rng = np.random.default_rng([41, settings.seed])
    ranked = _ranked(tree, vectors, settings, rng)
    left = {leaf: len(clips) for leaf, clips in ranked.items()}
    shares = pour_down(_children(tree), left, min(budget, sum(left.values())), rng)
    taken = sorted(int(clip) for leaf, clips in ranked.items() for clip in clips[: shares.get(leaf, 0)])
    return [Chosen(tree.clips[one], int(tree.labels[0, one]), int(tree.labels[-1, one])) for one in taken]


def pour(sizes: Sequence[int] | Ints, budget: int, rng: np.random.Generator) -> Ints:
    """Divide a budget among vessels as evenly as their sizes allow.

    The cap c is the largest with sum(min(size, c)) <= budget; what is left goes one each to vessels that are not full,
    drawn at random.

    Raises:
        ValueError: the vessels cannot hold the budget.
    """
    room = np.asarray(sizes, np.int64)
    if not 0 <= budget <= room.sum():
        raise ValueError(f"vessels of {room.sum()} in all cannot hold {budget}: ask for less")
    low, high = 0, int(room.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(room, middle).sum()) <= budget:
            low = middle
        else:
            high = middle - 1
    shares = np.minimum(room, low)
    not_full = np.flatnonzero(room > low)
    rest = budget - int(shares.sum())
    shares[rng.permutation(not_full)[:rest]] += 1
    return shares


def pour_down(
    children: Sequence[Mapping[int, Sequence[int]]], left: Mapping[int, int], budget: int, rng: np.random.Generator
) -> dict[int, int]:
    """Divide a budget over a tree, level by level.

    Args:
        children: of each level from the top: cluster -> its clusters of the level below; first {0: top clusters}.
        left: clips of each leaf.

    Returns:
        Leaf -> its share.
    """
    sizes: list[dict[int, int]] = [dict(left)]
    for level in reversed(children):
        below = sizes[-1]
        sizes.append({one: sum(below.get(child, 0) for child in inside) for one, inside in level.items()})
    sizes.reverse()
    shares = {0: budget}
    for depth, level in enumerate(children):
        below_sizes, poured = sizes[depth + 1], dict[int, int]()
        for one in sorted(level):
            inside = sorted(level[one])
            parts = pour([below_sizes.get(child, 0) for child in inside], shares.get(one, 0), rng)
            poured.update(zip(inside, parts.tolist(), strict=True))
        shares = poured
    return shares


def _children(tree: Tree) -> list[dict[int, list[int]]]:
    """See `pour_down`: which clusters lie in which, of those that hold clips."""
    levels: list[dict[int, list[int]]] = [{0: np.unique(tree.labels[-1]).tolist()}]
    for below, above in zip(tree.labels[-2::-1], tree.labels[:0:-1], strict=True):
        inside: dict[int, list[int]] = {}
        for parent, child in np.unique(np.stack([above, below]), axis=1).T.tolist():
            inside.setdefault(parent, []).append(child)
        levels.append(inside)
    return levels


def _ranked(
    tree: Tree, vectors: NDArray[np.float32], settings: Sampling, rng: np.random.Generator
) -> dict[int, list[int]]:
    """Leaf -> its clips in the order in which they are taken, near duplicates left out."""
    first = rng.random(len(tree.clips)) if settings.within == "random" else tree.distances
    order = np.lexsort((first, tree.labels[0]))
    leaves, starts = np.unique(tree.labels[0][order], return_index=True)
    ranked = {}
    for leaf, members in zip(leaves.tolist(), np.split(order, starts[1:]), strict=True):
        ranked[leaf] = _unlike(members, vectors, settings.alike) if settings.alike < 1 else members.tolist()
    return ranked


def _unlike(members: Ints, vectors: NDArray[np.float32], alike: float) -> list[int]:
    """The members, each unless it is too like one before."""
    cosines = vectors[members] @ vectors[members].T
    kept: list[int] = []
    for place in range(len(members)):
        if not kept or float(cosines[place, kept].max()) <= alike:
            kept.append(place)
    return [int(members[place]) for place in kept]


def write_sample(corpus: Corpus, chosen: Sequence[Chosen], tree: Tree, test: Mapping[str, str]) -> None:
    """Write the sample, if none of its clips is of a recording in a test split.

    Raises:
        ValueError: one is.
    """
    by_name = {clip.clip: clip for clip in corpus.clips}
    refuse_test_videos([by_name[one.clip] for one in chosen], test)
    notes = {**tree.notes, "sample": fingerprint([by_name[one.clip] for one in chosen])}
    write_rows(corpus.folder / FILE, Chosen, chosen, notes)


def read_sample(corpus: Corpus, test: Mapping[str, str]) -> list[Clip]:
    """The sampled clips, to pretrain on.

    Raises:
        FileNotFoundError: there is no sample.
        ValueError: it is of another manifest, or has a clip of a recording in a test split.
    """
    path = corpus.folder / FILE
    chosen = read_rows(path, Chosen, SAMPLE_FIRST)
    by_name = {clip.clip: clip for clip in corpus.usable()}
    clips = [by_name[one.clip] for one in chosen if one.clip in by_name]
    if fingerprint(clips) != notes_of(read_table(path, SAMPLE_FIRST)).get("sample"):
        raise ValueError(f"{path} was drawn from another manifest than {corpus.folder} has now: {SAMPLE_FIRST}")
    refuse_test_videos(clips, test)
    return clips


def gini(counts: Sequence[int] | Ints) -> float:
    """How unequal counts are, 0 (all the same) to nearly 1 (one has everything); half the relative mean difference."""
    ordered = np.sort(np.asarray(counts, np.float64))
    if len(ordered) == 0 or ordered.sum() == 0:
        return 0.0
    ranks = np.arange(1, len(ordered) + 1)
    return float((2 * ranks - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))
