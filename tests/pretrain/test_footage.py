"""Clips for pretraining: which moments are read, one square for all frames, and pools of rendered and filmed clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.model.video_encoder import VideoEncoderConfig
from trocar.pretrain.cluster import Tree
from trocar.pretrain.corpus import Clip, Corpus, Source, Video, write_corpus
from trocar.pretrain.footage import FilmedClips, RenderedClips, cropped, open_pools
from trocar.pretrain.recipe import FrameSampling, Pool, PretrainRecipe
from trocar.pretrain.rendered_corpus import write_video
from trocar.pretrain.sample import Chosen, write_sample

ENCODER = VideoEncoderConfig("videomae", width=24, depth=1, heads=2, side=32, frames=4, patch=8, tubelet=2)
FPS = 10


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def corpus_in(folder: Path, split: str = "", pool: str = "unlabelled") -> Corpus:
    """One video of 20 frames whose grey says their number, in two clips, and one file that is no video."""
    frames = np.stack([np.full((48, 64, 3), 10 + 10 * number, np.uint8) for number in range(20)])
    write_video(folder / "videos/a.mp4", frames, FPS)
    (folder / "videos/b.mp4").write_text("no video")
    videos = [
        Video(f"own/{n}", "own", f"{n}.mp4", f"own/{n}", "robotic", "x", "", split, pool, 2.0, FPS, 48, 64, "")
        for n in "ab"
    ]
    stretches = [("a", 0.0, 1.0), ("a", 1.0, 2.0), ("b", 0.0, 2.0)]
    clips = [
        Clip(f"own/{n}@{start}", f"own/{n}", f"own/{n}", "robotic", "x", split, pool, start, stop, "", "")
        for n, start, stop in stretches
    ]
    source = Source("own", str(folder / "videos"), pool, "", split)
    corpus = Corpus(folder / "corpus", (source,), tuple(videos), tuple(clips))
    write_corpus(corpus)
    return corpus


def numbers(pictures: list[np.ndarray]) -> list[int]:
    """Which frames these are."""
    return [round((float(picture.mean()) - 10) / 10) for picture in pictures]


def test_frames_lie_as_far_apart_as_the_recipe_says(tmp_path: Path) -> None:
    corpus = corpus_in(tmp_path)
    by_fps = FilmedClips(corpus, corpus.clips[:2], 4, FrameSampling("fps", fps=5.0))
    by_stride = FilmedClips(corpus, corpus.clips[:2], 4, FrameSampling("stride", stride=3))
    for seed in range(5):
        first = numbers(by_fps.pictures(0, rng(seed)))
        assert np.diff(first).tolist() == [2, 2, 2], "every second frame of ten a second"
        assert min(first) >= 0
        assert max(first) <= 9, "inside the clip"
        second = numbers(by_stride.pictures(1, rng(seed)))
        assert np.diff(second).tolist() == [3, 3, 3]
        assert min(second) >= 10
        assert max(second) <= 19
    starts = {numbers(by_fps.pictures(0, rng(seed)))[0] for seed in range(20)}
    assert len(starts) > 2, "where a clip begins is drawn"


def test_a_clip_that_is_too_short_repeats_its_end(tmp_path: Path) -> None:
    corpus = corpus_in(tmp_path)
    slow = FilmedClips(corpus, corpus.clips[:1], 4, FrameSampling("fps", fps=2.0))
    assert numbers(slow.pictures(0, rng())) == [0, 5, 9, 9]
    none = replace(corpus.clips[0], stop_s=0.0)
    with pytest.raises(ValueError, match="has no length: scan the corpus again"):
        slow.moments(none, rng())


def test_another_clip_takes_the_place_of_one_that_cannot_be_read(tmp_path: Path) -> None:
    corpus = corpus_in(tmp_path)
    clips = FilmedClips(corpus, corpus.clips, 4, FrameSampling("fps", fps=5.0))
    with pytest.warns(UserWarning, match=r"in place of own/b@0\.0: .*b\.mp4 cannot be read"):
        found = numbers(clips.pictures(2, rng(1)))
    assert np.diff(found).tolist() == [2, 2, 2]
    damaged = FilmedClips(corpus, corpus.clips[2:], 4, FrameSampling())
    with pytest.warns(UserWarning, match="in place of"), pytest.raises(ValueError, match="20 clips in a row"):
        damaged.pictures(0, rng())


def test_one_square_is_cut_out_of_all_frames() -> None:
    rows, columns = np.meshgrid(np.arange(40), np.arange(60), indexing="ij")
    picture = np.stack([rows, columns, np.full_like(rows, 7)], -1).astype(np.uint8)
    sampling = FrameSampling(least_crop=0.8, most_crop=0.8)
    tops, lefts = set(), set()
    for seed in range(40):
        clip = cropped([picture, picture + np.uint8(100)], 32, sampling, rng(seed))
        assert clip.shape == (2, 32, 32, 3)
        top, left = int(clip[0, 0, 0, 0]), int(clip[0, 0, 0, 1])
        assert np.array_equal(clip[0], picture[top : top + 32, left : left + 32]), "0.8 of 40 rows, not scaled"
        assert np.array_equal(clip[1], clip[0] + 100)
        tops.add(top)
        lefts.add(left)
    assert (min(tops), max(tops)) == (0, 8)
    assert max(lefts) > 20
    mirrored = cropped([picture], 32, replace(sampling, flip=1.0), rng(3))
    assert np.array_equal(mirrored[:, :, ::-1], cropped([picture], 32, sampling, rng(3)))
    assert cropped([picture], 16, sampling, rng()).shape == (1, 16, 16, 3)


def test_rendered_clips_are_the_same_again_and_balanced_where_wanted() -> None:
    long_tailed, balanced = (
        RenderedClips(Pool(clips=clips, count=40), 2, 32) for clips in ("rendered", "rendered-balanced")
    )
    assert len(long_tailed) == 40
    assert np.array_equal(long_tailed.pictures(3, rng(0)), long_tailed.pictures(3, rng(1)))
    assert not np.array_equal(long_tailed.pictures(3, rng()), long_tailed.pictures(4, rng()))
    assert not np.array_equal(long_tailed.pictures(3, rng()), balanced.pictures(3, rng()))


def test_pools_of_a_recipe_are_opened(tmp_path: Path) -> None:
    corpus_in(tmp_path)
    folder = str(tmp_path / "corpus")
    pools = (Pool("unlabelled", 0.75, folder), Pool("core", 0.25, count=9), Pool("clinical", 0.0, "nowhere"))
    found = open_pools(PretrainRecipe(encoder=ENCODER, pools=pools))
    assert Counter({name: len(pool) for name, pool in found.items()}) == {"unlabelled": 3, "core": 9}
    (picture, *_) = found["core"].pictures(0, rng())
    assert picture.shape == (46, 46, 3), "32 of it are cut out: 0.7"

    with pytest.raises(ValueError, match="no usable clips of the pool 'core', its pools are: unlabelled"):
        open_pools(PretrainRecipe(encoder=ENCODER, pools=(Pool("core", 1.0, folder),)))
    with pytest.raises(FileNotFoundError, match="no folder: give the folder of a corpus"):
        open_pools(PretrainRecipe(encoder=ENCODER, pools=(Pool("core", 1.0, "nowhere"),)))
    with pytest.raises(FileNotFoundError, match="curate"):
        open_pools(PretrainRecipe(encoder=ENCODER, pools=(Pool("unlabelled", 1.0, folder, sampled=True),)))


def test_a_pool_can_be_what_the_balanced_sample_chose(tmp_path: Path) -> None:
    corpus = corpus_in(tmp_path)
    places = np.zeros((1, 3), np.int64)
    tree = Tree(tuple(clip.clip for clip in corpus.clips), places, np.zeros(3, np.float32), (np.zeros((1, 2)),), {})
    write_sample(corpus, [Chosen(corpus.clips[1].clip, 0, 0)], tree, {})
    pools = (Pool("unlabelled", 1.0, str(tmp_path / "corpus"), sampled=True),)
    found = open_pools(PretrainRecipe(encoder=ENCODER, pools=pools, sampling=FrameSampling(fps=5.0)))["unlabelled"]
    assert len(found) == 1
    assert min(numbers(found.pictures(0, rng()))) >= 10, "the second half of the video"


def test_test_videos_are_refused(tmp_path: Path) -> None:
    corpus_in(tmp_path)
    recipe = PretrainRecipe(encoder=ENCODER, pools=(Pool("unlabelled", 1.0, str(tmp_path / "corpus")),))
    (tmp_path / "test.toml").write_text('own = ["b"]')
    with pytest.raises(ValueError, match="1 clips are of recordings in a benchmark's test split"):
        open_pools(replace(recipe, test_videos=(str(tmp_path / "test.toml"),)))
    corpus_in(tmp_path, split="test")
    with pytest.raises(ValueError, match="3 clips are of recordings"):
        open_pools(recipe)
