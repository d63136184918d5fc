"""From pools of clips to pictures: which moments, which square of the picture, mirrored or not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.procedure_scenes import DOMAINS, PROCEDURES, draw_procedure, procedure_clip
from trocar.model.video_encoder import VideoEncoderConfig
from trocar.pretrain.clip_frames import frames_at
from trocar.pretrain.corpus import Clip, Corpus, read_corpus
from trocar.pretrain.guard import read_test_videos, refuse_test_videos
from trocar.pretrain.recipe import BALANCED, RENDERED, FrameSampling, Pool, PretrainRecipe
from trocar.pretrain.sample import read_sample

Pictures = NDArray[np.uint8]
TRIES = 20  # other clips that are read in place of one that cannot be


class Clips(Protocol):
    """A pool: as many clips as its length."""

    def __len__(self) -> int: ...

    def pictures(self, index: int, rng: np.random.Generator) -> list[Pictures]:
        """T frames (rows, columns, 3) RGB; which moments of the clip they are is drawn."""
        ...


@dataclass(frozen=True)
class RenderedClips:
    """Clips of rendered procedures; each is the same whenever it is asked for.

    Args:
        pool: how many, by which seed, long-tailed or balanced.
        frames: T.
        side: of the pictures, pixels.
    """

    pool: Pool
    frames: int
    side: int

    def __len__(self) -> int:
        return self.pool.count

    def pictures(self, index: int, rng: np.random.Generator) -> list[Pictures]:
        own = np.random.default_rng((31, self.pool.seed, index))
        if self.pool.clips == BALANCED:
            domain = DOMAINS[own.integers(len(DOMAINS))]
            procedure = PROCEDURES[domain][own.integers(len(PROCEDURES[domain]))]
        else:
            domain, procedure = draw_procedure(own)
        seed = int(own.integers(2**31))
        return list(procedure_clip(seed, domain, procedure, self.frames, self.side).images)


class FilmedClips:
    """Clips of a corpus.

    Args:
        corpus: knows their files.
        clips: those of the pool.
        frames: T.
        sampling: which moments.
    """

    def __init__(self, corpus: Corpus, clips: Sequence[Clip], frames: int, sampling: FrameSampling) -> None:
        self.corpus, self.clips, self.frames, self.sampling = corpus, clips, frames, sampling
        self._rates = {video.video: video.fps for video in corpus.videos}

    def __len__(self) -> int:
        return len(self.clips)

    def pictures(self, index: int, rng: np.random.Generator) -> list[Pictures]:
        """Read a clip; one that cannot be read is named in a warning, and another one of the pool takes its place.

        Raises:
            ValueError: so many in a row cannot be read that something else must be wrong.
        """
        for _ in range(TRIES):
            clip = self.clips[index]
            try:
                return frames_at(self.corpus.file_of(clip), self.moments(clip, rng))
            except (ValueError, OSError) as error:
                reason = str(error)
                warnings.warn(f"another clip is taken in place of {clip.clip}: {reason}", stacklevel=2)
                index = int(rng.integers(len(self.clips)))
        raise ValueError(f"{TRIES} clips in a row cannot be read, the last one because {reason}: mend the corpus")

    def moments(self, clip: Clip, rng: np.random.Generator) -> list[float]:
        """When the frames are, in seconds; a clip that is too short for them repeats its end.

        Raises:
            ValueError: the clip has no length.
        """
        if not clip.stop_s > clip.start_s:
            raise ValueError(f"{clip.clip} has no length: scan the corpus again")
        rate = self._rates.get(clip.video, 0.0) or 25.0
        apart = 1 / self.sampling.fps if self.sampling.by == "fps" else self.sampling.stride / rate
        last = clip.stop_s - 1 / rate  # the moment of the last frame inside
        free = max(last - clip.start_s - (self.frames - 1) * apart, 0.0)
        start = clip.start_s + free * rng.random()
        return [max(min(start + number * apart, last), clip.start_s) for number in range(self.frames)]


def open_pools(recipe: PretrainRecipe) -> dict[str, Clips]:
    """The pools of a recipe that have a share.

    Raises:
        FileNotFoundError, ValueError: a corpus is missing or damaged, has no clips for a pool, or has clips of
            recordings in a benchmark's test split.
    """
    config, sampling = recipe.encoder, recipe.sampling
    test = read_test_videos([Path(name) for name in recipe.test_videos])
    side = round(config.side / sampling.most_crop)
    pools: dict[str, Clips] = {}
    for pool in recipe.pools:
        if not pool.share:
            continue
        if pool.clips in (RENDERED, BALANCED):
            pools[pool.name] = RenderedClips(pool, config.frames, side)
        else:
            pools[pool.name] = _filmed(pool, config, sampling, test)
    return pools


def _filmed(pool: Pool, config: VideoEncoderConfig, sampling: FrameSampling, test: Mapping[str, str]) -> FilmedClips:
    folder = Path(pool.clips)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"pool {pool.name!r}: {folder} is no folder: give the folder of a corpus that `trocar curate scan` wrote, "
            f"{RENDERED!r} or {BALANCED!r}"
        )
    corpus = read_corpus(folder)
    usable = read_sample(corpus, test) if pool.sampled else corpus.usable()
    clips = [clip for clip in usable if clip.pool == pool.name]
    if not clips:
        known = ", ".join(sorted({clip.pool for clip in usable})) or "none"
        raise ValueError(f"{folder} has no usable clips of the pool {pool.name!r}, its pools are: {known}")
    refuse_test_videos(clips, test)
    return FilmedClips(corpus, clips, config.frames, sampling)


def cropped(pictures: Sequence[Pictures], side: int, sampling: FrameSampling, rng: np.random.Generator) -> Pictures:
    """One square of all frames of a clip, scaled to (T, side, side, 3) and perhaps mirrored."""
    rows, columns = pictures[0].shape[:2]
    share = rng.uniform(sampling.least_crop, sampling.most_crop)
    square = max(round(min(rows, columns) * share), 1)
    top, left = int(rng.integers(rows - square + 1)), int(rng.integers(columns - square + 1))
    mirrored = rng.random() < sampling.flip
    method = cv2.INTER_AREA if square > side else cv2.INTER_LINEAR
    cut = [picture[top : top + square, left : left + square] for picture in pictures]
    scaled = [one if square == side else cv2.resize(one, (side, side), interpolation=method) for one in cut]
    out: Pictures = np.stack([one[:, ::-1] for one in scaled] if mirrored else scaled).astype(np.uint8, copy=False)
    return out
