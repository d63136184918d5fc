"""From clips to training samples: which frames, which objects, how they are changed, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.datasets import DATASETS, Clip, read_clip
from trocar.datasets.location import locate
from trocar.load import load_dataset
from trocar.track.features import to_network_input
from trocar.train.augment import (
    GeometryRange,
    apply_look,
    drifting,
    random_geometry,
    random_look,
    warp_image,
    warp_labels,
)
from trocar.train.render import read_scene, scene_files

Mask = NDArray[np.bool_]
Draw = Callable[[np.random.Generator], Clip]

SMALLEST_SHARE = 0.0004  # of the picture: smaller objects are not asked for
STILL_DRIFT = 0.06  # motion of an image that serves as a clip, in parts of its side
CUT_CLIPS = 0.4  # share of the others whose frames follow in any order
STILL_CLIPS = 0.2  # share of the clips that are made from one image even where there are more
WIDEST_STRIDE = 5  # frames that a clip may leap at a step
TRIES = 160


@dataclass(frozen=True, eq=False)
class Sample:
    """T frames and K objects to be found in them, all visible in the first frame.

    Args:
        images: (T, 3, S, S) normalised.
        masks: (K, T, S, S) bool.
        valid: (T, S, S) bool, False where there is no truth.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor


@dataclass(frozen=True)
class SampleShape:
    """What a sample looks like: side in pixels, frames, objects, and the share of objects cut to one connected part."""

    side: int
    frames: int = 1
    objects: int = 1
    part_share: float = 0.0
    geometry: GeometryRange = field(default_factory=GeometryRange)


def open_source(name: str, data: Path | None, folder: Path) -> Draw:
    """A source of training clips: "scenes" from the rendered files in `folder`, or the "train" split of a data set.

    Args:
        data: the folder of the data sets; None for the one that TROCAR_DATA names.

    Raises:
        ValueError: there is no such source.
        FileNotFoundError: its files are missing.
    """
    if name == "scenes":
        files = scene_files(folder)
        return lambda rng: read_scene(files[int(rng.integers(len(files)))])
    if name not in DATASETS:
        raise ValueError(f"no source of clips is called {name!r}: choose from scenes, {', '.join(sorted(DATASETS))}")
    dataset = load_dataset(name)
    clips = [read_clip(case) for case in dataset.read(locate(dataset.folder, data), "train")]
    frames = np.array([len(clip.images) for clip in clips], float)
    return lambda rng: clips[int(rng.choice(len(clips), p=frames / frames.sum()))]


def mixed(sources: Mapping[str, Draw], shares: Mapping[str, float]) -> Draw:
    """Draw from several sources in the given proportions."""
    names = sorted(sources)
    weights = np.array([shares[name] for name in names], float)

    def draw(rng: np.random.Generator) -> Clip:
        return sources[names[int(rng.choice(len(names), p=weights / weights.sum()))]](rng)

    return draw


def draw_sample(draw: Draw, rng: np.random.Generator, shape: SampleShape) -> Sample:
    """Draw clips until one shows an object.

    Raises:
        ValueError: many draws in a row showed none.
    """
    for _ in range(TRIES):
        sample = make_sample(draw(rng), rng, shape)
        if sample is not None:
            return sample
    raise ValueError("the training clips show hardly any objects: check the labels of the sources in [data]")


def make_sample(clip: Clip, rng: np.random.Generator, shape: SampleShape) -> Sample | None:
    """A sample from one clip, or None where the first frame shows no object after the change of geometry."""
    frames, still = choose_frames(clip, shape.frames, rng)
    labels = clip.labels[frames[0]]
    start = random_geometry(rng, (labels.shape[0], labels.shape[1]), shape.side, _focus(labels, rng), shape.geometry)
    drift = STILL_DRIFT if still else shape.geometry.drift
    matrices = drifting(rng, start, len(frames), shape.side, drift)
    warped = np.stack([warp_labels(clip.labels[f], m, shape.side) for f, m in zip(frames, matrices, strict=True)])
    masks = choose_objects(warped, rng, shape)
    if not len(masks):
        return None
    look = random_look(rng, shape.side)
    images = [
        to_network_input(apply_look(warp_image(clip.images[f], m, shape.side), look, rng), shape.side)
        for f, m in zip(frames, matrices, strict=True)
    ]
    valid = np.ones(warped.shape, bool)
    if clip.ignore is not None:
        for index, (f, m) in enumerate(zip(frames, matrices, strict=True)):
            valid[index] = warp_labels(clip.ignore[f].astype(np.uint8), m, shape.side) == 0
    return Sample(torch.stack(images), torch.from_numpy(masks), torch.from_numpy(valid))


def choose_frames(clip: Clip, count: int, rng: np.random.Generator) -> tuple[list[int], bool]:
    """`count` frames, most often at one stride, and whether they are one frame repeated.

    They run either way, and turn at the ends of the clip: what left comes back. Some clips are cut: their frames are
    drawn anywhere, so that an object has to be known by its looks.
    """
    length = len(clip.images)
    if count == 1:
        return [int(rng.integers(length))], False
    if not clip.ordered or length < 3 or rng.random() < STILL_CLIPS:
        return [int(rng.integers(length))] * count, True
    if rng.random() < CUT_CLIPS:
        return [int(place) for place in rng.integers(length, size=count)], False
    widest = min(WIDEST_STRIDE, max(1, (length - 1) // (count - 1)))
    stride = 1 if rng.random() < 0.5 else int(rng.integers(1, widest + 1))
    start = int(rng.integers(2 * length - 2))  # on the round trip through all frames and back
    places = (start + stride * np.arange(count)) % (2 * length - 2)
    return [int(min(place, 2 * length - 2 - place)) for place in places], False


def choose_objects(labels: NDArray[np.uint8], rng: np.random.Generator, shape: SampleShape) -> Mask:
    """(K, T, S, S) masks of objects visible in the first of the (T, S, S) frames.

    With one frame K is `shape.objects`, and an object may come more than once; in clips all are different.
    """
    area = np.bincount(labels[0].ravel(), minlength=256)[1:]
    smallest = max(SMALLEST_SHARE * labels[0].size, 8)
    known = np.flatnonzero(area >= smallest) + 1
    if not len(known):
        return np.zeros((0, *labels.shape), bool)
    chosen = list(rng.choice(known, size=min(shape.objects, len(known)), replace=False))
    if len(labels) == 1:
        chosen += list(rng.choice(known, size=shape.objects - len(chosen)))
    masks = np.stack([labels == label for label in chosen])
    if len(labels) == 1:
        for index in np.flatnonzero(rng.random(len(masks)) < shape.part_share):
            masks[index, 0] = _one_part(masks[index, 0], rng, smallest)
    return masks


def _one_part(mask: Mask, rng: np.random.Generator, smallest: float) -> Mask:
    """One of the connected parts of a mask that are large enough; the whole mask if there is none."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = [part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= smallest]
    return np.asarray(parts == large[int(rng.integers(len(large)))], np.bool_) if large else mask


def _focus(labels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[float, float] | None:
    """A pixel (x, y) of a random object; sometimes, and where there is none, no point in particular."""
    known = np.unique(labels[::4, ::4])
    known = known[known > 0]
    if not len(known) or rng.random() < 0.2:
        return None
    places = np.flatnonzero(labels[::4, ::4] == rng.choice(known))
    row, column = divmod(int(places[int(rng.integers(len(places)))]), labels[::4, ::4].shape[1])
    return 4.0 * column + 2, 4.0 * row + 2


def image_batch(samples: Sequence[Sample]) -> Tensor:
    """All frames of all samples, (sum of T, 3, S, S), sample after sample."""
    return torch.cat([sample.images for sample in samples])
