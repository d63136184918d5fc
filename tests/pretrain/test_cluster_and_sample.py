"""The hierarchy of clusters and the budget that is poured over it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_corpus import made_clip

from trocar.pretrain.cluster import Hierarchy, Tree, cluster, nearest_of_each, read_tree, write_tree
from trocar.pretrain.corpus import Corpus, Source, Video, write_corpus
from trocar.pretrain.embed import Embeddings
from trocar.pretrain.sample import Sampling, gini, pour, pour_down, read_sample, sample, write_sample

LEVELS = Hierarchy(levels=(40, 10, 5), rounds=3, device="cpu")


def long_tailed(count: int = 2000, centres: int = 5, seed: int = 0) -> Embeddings:
    """Clouds far apart, each half as frequent as the one before: 1032, 516, 258, 129, 65 of 2,000."""
    rng = np.random.default_rng(seed)
    weights = 0.5 ** np.arange(centres)
    counts = np.round(count * weights / weights.sum()).astype(int)
    own = rng.permutation(np.repeat(np.arange(centres), counts))
    points = 3 * rng.normal(0, 1, (centres, 24))[own] + rng.normal(0, 0.8, (len(own), 24))
    vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    names = tuple(f"v{number}@{kind}" for number, kind in enumerate(own))
    return Embeddings(names, vectors, {"corpus": "x", "weights": "y", "pools": "unlabelled"})


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_water_finds_its_level(sizes: list[int], share: float, seed: int) -> None:
    """All of the budget is given, no vessel overflows, and vessels that are not full differ by one at most."""
    budget = int(share * sum(sizes))
    shares = pour(sizes, budget, np.random.default_rng(seed))
    assert shares.sum() == budget
    assert (shares <= sizes).all()
    open_ones = shares[shares < np.array(sizes)]
    if len(open_ones):
        assert shares.max() - open_ones.min() <= 1


def test_water_by_hand() -> None:
    rng = np.random.default_rng(0)
    assert pour([10, 2, 0, 10], 14, rng).tolist() == [6, 2, 0, 6]
    assert sorted(pour([5, 5, 5], 7, rng).tolist()) == [2, 2, 3]
    with pytest.raises(ValueError, match="cannot hold 4"):
        pour([1, 2], 4, rng)


def test_a_budget_goes_down_a_tree_by_hand() -> None:
    """Top 0 has leaves 0 (10 clips) and 1 (1), top 1 has leaf 2 (3): 8 clips are 5 and 3, then 4, 1 and 3."""
    shares = pour_down([{0: [0, 1]}, {0: [0, 1], 1: [2]}], {0: 10, 1: 1, 2: 3}, 8, np.random.default_rng(0))
    assert shares == {0: 4, 1: 1, 2: 3}


def test_gini_by_hand() -> None:
    """[1, 3]: mean difference of all pairs (0, 2, 2, 0) / 4 = 1; half of it over the mean 2 is 0.25."""
    assert gini([1, 3]) == pytest.approx(0.25)
    assert gini([4, 4, 4]) == 0
    assert gini([0, 0, 0, 12]) == pytest.approx(0.75)
    assert gini([]) == gini([0, 0]) == 0


def test_the_nearest_of_each_cluster() -> None:
    labels = torch.tensor([0, 1, 0, 1, 0, 2])
    distances = torch.tensor([0.3, 0.1, 0.1, 0.2, 0.2, 9.0])
    assert nearest_of_each(labels, distances, 2).tolist() == [1, 2, 3, 4, 5]
    assert nearest_of_each(labels, distances, 1).tolist() == [1, 2, 5]


def test_levels_nest_and_find_the_clouds() -> None:
    found = long_tailed()
    tree = cluster(found, LEVELS)
    assert tree.labels.shape == (3, len(found.clips))
    for below, above in zip(tree.labels, tree.labels[1:], strict=False):
        pairs = np.unique(np.stack([below, above]), axis=1)
        assert len(pairs.T) == len(np.unique(below)), "a cluster lies in one cluster of the next level"
    kinds = np.array([int(name.split("@")[1]) for name in found.clips])
    for top in np.unique(tree.labels[-1]):
        inside = kinds[tree.labels[-1] == top]
        assert np.bincount(inside).max() > 0.95 * len(inside)


def test_pouring_makes_a_long_tailed_corpus_even() -> None:
    found = long_tailed()
    tree = cluster(found, LEVELS)
    chosen = sample(tree, found.vectors, Sampling(share=0.1, alike=1.0))
    before = np.bincount(tree.labels[-1])
    after = np.bincount([one.top for one in chosen], minlength=len(before))
    assert len(chosen) == round(0.1 * len(found.clips))
    assert gini(before) > 0.35
    assert gini(after) < 0.05
    kinds = np.bincount([int(one.clip.split("@")[1]) for one in chosen], minlength=5)
    assert kinds.min() >= 25, "the rarest kind is a thirtieth of the corpus and must be a good part of the sample"


def test_leaves_give_what_is_nearest_to_their_centroid_first() -> None:
    tree = Tree(
        tuple("abcdef"),
        np.zeros((1, 6), np.int64),
        np.array([5, 1, 3, 2, 4, 6], np.float32),
        (np.zeros((1, 2), np.float32),),
        {},
    )
    vectors = np.eye(6, dtype=np.float32)
    assert [one.clip for one in sample(tree, vectors, Sampling(share=0.5))] == ["b", "c", "d"]
    drawn = {"".join(c.clip for c in sample(tree, vectors, Sampling(0.5, "random", seed=seed))) for seed in range(20)}
    assert len(drawn) > 5
    same = [sample(tree, vectors, Sampling(0.5, "random", seed=3)) for _ in range(2)]
    assert same[0] == same[1]


def test_of_near_duplicates_one_is_chosen() -> None:
    """b and d differ by less than the threshold, and b is nearer to the centroid: d never comes, even with room."""
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.999, 0.0447]], np.float32)
    distances = np.array([3, 1, 4, 2], np.float32)
    tree = Tree(tuple("abcd"), np.zeros((1, 4), np.int64), distances, (np.zeros((1, 3), np.float32),), {})
    assert [one.clip for one in sample(tree, vectors, Sampling(share=1.0))] == ["a", "b", "c"]
    assert [one.clip for one in sample(tree, vectors, Sampling(share=0.5))] == ["a", "b"]
    assert len(sample(tree, vectors, Sampling(share=1.0, alike=1.0))) == 4


def test_stages_refuse_what_does_not_belong_together(tmp_path: Path) -> None:
    clips = tuple(made_clip("v", 2.0 * number) for number in range(60))
    video = Video("v", "s", "v.mp4", "v", "robotic", "x", "", "", "unlabelled", 120.0, 25.0, 480, 640, "")
    corpus = Corpus(tmp_path, (Source("s", "x", "unlabelled", "", ""),), (video,), clips)
    write_corpus(corpus)
    found = replace(long_tailed(60), clips=tuple(clip.clip for clip in clips), vectors=long_tailed(60).vectors[:60])
    tree = cluster(found, Hierarchy(levels=(10, 4), rounds=1, device="cpu"))
    write_tree(tmp_path, tree)
    again = read_tree(tmp_path, found)
    assert np.array_equal(again.labels, tree.labels)
    assert np.array_equal(again.distances, tree.distances)
    with pytest.raises(ValueError, match="other embeddings"):
        read_tree(tmp_path, replace(found, notes={**found.notes, "weights": "other"}))
    with pytest.raises(FileNotFoundError, match="trocar curate cluster"):
        read_tree(tmp_path / "none", found)
    with pytest.raises(FileNotFoundError, match="trocar curate sample"):
        read_sample(corpus, {})
    chosen = sample(tree, found.vectors, Sampling(share=0.5, alike=1.0))
    with pytest.raises(ValueError, match="test split"):
        write_sample(corpus, chosen, tree, {"v": "cholec80"})
    write_sample(corpus, chosen, tree, {})
    assert [clip.clip for clip in read_sample(corpus, {})] == [one.clip for one in chosen]
    with pytest.raises(ValueError, match="test split"):
        read_sample(corpus, {"v": "cholec80"})
    excluded = replace(clips[int(np.flatnonzero(np.array(found.clips) == chosen[0].clip)[0])], excluded="list: x")
    fewer = replace(corpus, clips=tuple(excluded if clip.clip == excluded.clip else clip for clip in clips))
    with pytest.raises(ValueError, match="another manifest"):
        read_sample(fewer, {})


def test_bad_levels_and_shares_are_refused() -> None:
    found = long_tailed(100)
    with pytest.raises(ValueError, match="fewer than the one below"):
        cluster(found, Hierarchy(levels=(200, 10), device="cpu"))
    with pytest.raises(ValueError, match="fewer than the one below"):
        cluster(found, Hierarchy(levels=(10, 20), device="cpu"))
    tree = cluster(found, Hierarchy(levels=(10,), rounds=0, device="cpu"))
    for share in (0.0, 1.5, 0.001):
        with pytest.raises(ValueError, match=r"sampling\.share"):
            sample(tree, found.vectors, Sampling(share=share))


def test_at_the_papers_scale_a_tenth_of_the_clips_is_nearly_even() -> None:
    """554,000 clips in 25,000 leaves, 5,000 and 1,000 clusters of log-normal weight: Gini from 0.63 to under 0.05."""
    rng = np.random.default_rng(0)
    weights = np.exp(1.28 * rng.standard_normal(1000)).repeat(25) * np.exp(0.5 * rng.standard_normal(25_000))
    left = dict(
        enumerate(np.bincount(rng.choice(25_000, 554_000, p=weights / weights.sum()), minlength=25_000).tolist())
    )
    middle = {one: list(range(5 * one, 5 * one + 5)) for one in range(5000)}
    top = {one: list(range(5 * one, 5 * one + 5)) for one in range(1000)}
    shares = pour_down([{0: list(range(1000))}, top, middle], left, 55_400, rng)
    before, after = (np.array([one[leaf] for leaf in range(25_000)]).reshape(1000, 25).sum(1) for one in (left, shares))
    assert after.sum() == 55_400
    assert gini(before) > 0.6
    assert gini(after) < 0.05
