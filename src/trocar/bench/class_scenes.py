"""Class models on rendered clips whose instruments look alike: scores, and what it costs to decide which are there.

Each clip is asked twice: with the classes that a frame shows given, as in SurgicalSAM's tables, where Challenge IoU and
IoU are one number; and with all classes, of which the model says which are there (`trocar.classprompt.presence`). That
is calibrated on tune clips; the figures are of other clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.bench.paired import Interval, interval
from trocar.classprompt import ClassMasks, ClassModel
from trocar.classprompt.embeddings import EmbeddingCache
from trocar.classprompt.presence import believed, calibrate
from trocar.datasets import Clip
from trocar.datasets.lookalike_scenes import class_map
from trocar.metrics.endovis import count, merge_classes
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures
from trocar.track.features import input_of

Counts = NDArray[np.int64]
"""(frames, 3, classes): shared, predicted and true pixels, as `ClassCounts` has them."""
METRICS = ("Challenge IoU", "IoU", "mcIoU")


@dataclass(frozen=True, eq=False)
class ClipAnswers:
    """What a class model says of a clip.

    Args:
        masks: (T, C, rows, columns) bool, all classes on every frame.
        believed: (T, C, rows, columns) bool, what the model says is there; nothing if it was never calibrated.
        quality: (T, C) predicted IoU.
        truth: (T, rows, columns) class numbers from 1.
    """

    masks: NDArray[np.bool_]
    believed: NDArray[np.bool_]
    quality: NDArray[np.float64]
    truth: NDArray[np.uint8]

    @property
    def told(self) -> Counts:
        """The pixels of the maps that the classes make which a frame shows."""
        classes = np.arange(1, self.masks.shape[1] + 1)
        shown = np.stack([np.isin(classes, frame) for frame in self.truth])
        return self._counts(self.masks & shown[..., None, None])

    @property
    def decided(self) -> Counts:
        """The pixels of the maps that the model makes of what it believes."""
        return self._counts(self.believed)

    def _counts(self, every: NDArray[np.bool_]) -> Counts:
        """Of maps, masks being merged by predicted quality."""
        found = []
        for masks, quality in zip(every, self.quality, strict=True):
            numbers = np.flatnonzero(masks.any(axis=(1, 2)))
            empty = np.zeros(masks.shape[1:], np.uint8)
            found.append(
                merge_classes(list(masks[numbers]), (numbers + 1).tolist(), quality[numbers].tolist())
                if len(numbers)
                else empty
            )
        counted = count(found, list(self.truth), self.masks.shape[1])
        return np.stack([counted.shared, counted.in_pred, counted.in_gt], axis=1)


@torch.no_grad()
def ask_clip(model: ClassModel, network: Network, clip: Clip, cache: EmbeddingCache) -> ClipAnswers:
    """Ask for every class on every frame of a clip; features come from the cache, which encodes what is missing."""
    features = cache.read(cache.add(list(clip.images)))
    shown = input_of(network.config, model.config.side)
    classes = range(len(model.config.names))
    found = model.masks(network, features, classes)
    size = (clip.labels.shape[1], clip.labels.shape[2])

    def masks(found: ClassMasks) -> NDArray[np.bool_]:
        return np.stack([(shown.to_frame(logits.float(), size) > 0).cpu().numpy() for logits in found.logits])

    every = masks(found)
    kept = masks(believed(model, features, found, classes)) if model.config.presence else np.zeros_like(every)
    return ClipAnswers(every, kept, found.quality.double().cpu().numpy(), class_map(clip, model.config.names))


def calibrate_on(model: ClassModel, network: Network, clips: Iterable[Clip], cache: EmbeddingCache) -> ClassModel:
    """Calibrate presence on tune clips, which say of every frame which classes it shows."""

    def frames() -> Iterator[tuple[ImageFeatures, dict[int, bool]]]:
        for clip in clips:
            keys = cache.add(list(clip.images))
            for key, truth in zip(keys, class_map(clip, model.config.names), strict=True):
                shown = set(np.unique(truth).tolist())
                yield cache.read([key]), {one: one + 1 in shown for one in range(len(model.config.names))}

    return calibrate(model, network, frames())


def false_presence(counts: Counts) -> float:
    """The share of absent classes of a frame, over (..., 3, C) counts, of which something is found."""
    absent = counts[..., 2, :] == 0
    return float((counts[..., 1, :] > 0)[absent].mean()) if absent.any() else float("nan")


def figures(counts: Counts) -> dict[str, float]:
    """The three figures of (clips, frames, 3, C) counts; they equal those of `trocar.metrics.endovis`."""
    tables = clip_tables(counts)
    every = np.arange(len(counts))
    return {metric: value_of(tables[metric], every) for metric in METRICS}


def clip_tables(counts: Counts) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each metric what each clip adds to sums and to how many are counted, (clips, 1 or C) each.

    A metric of some clips is the mean over columns of sum over counted, so that it can be had for any draw of clips.
    """
    shared, predicted, true = np.moveaxis(counts.astype(np.float64), 2, 0)
    union = predicted + true - shared
    each = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    tables = {}
    for metric, counted in (("Challenge IoU", true > 0), ("IoU", union > 0)):
        classes = counted.sum(2)
        frame = np.divide((each * counted).sum(2), classes, out=np.zeros(classes.shape), where=classes > 0)
        tables[metric] = (frame.sum(1)[:, None], (classes > 0).sum(1)[:, None].astype(np.float64))
    tables["mcIoU"] = (each.sum(1), (union > 0).sum(1).astype(np.float64))
    return tables


def value_of(table: tuple[NDArray[np.float64], NDArray[np.float64]], clips: NDArray[np.intp]) -> float:
    """A metric of some clips, which may stand there more than once."""
    sums, counted = (part[clips].sum(0) for part in table)
    return float((sums[counted > 0] / counted[counted > 0]).mean()) if counted.any() else float("nan")


def compared(runs: Sequence[Counts], reference: Sequence[Counts] | None, metric: str, draws: int = 10_000) -> Interval:
    """A metric's mean over runs, less that of reference runs of the same seeds, with a 95 % interval.

    Runs and clips are both drawn anew, paired: the same seeds and the same clips on both sides.

    Args:
        runs: (clips, frames, 3, C) counts of each seed.
        reference: the same of what it is compared with; None for the metric itself.
        metric: one of METRICS.
        draws: of the bootstrap.
    """
    ours = [clip_tables(one)[metric] for one in runs]
    theirs = [clip_tables(one)[metric] for one in reference or ()]

    def statistic(seeds: NDArray[np.intp], clips: NDArray[np.intp]) -> float:
        value = float(np.mean([value_of(ours[seed], clips) for seed in seeds]))
        return value - (float(np.mean([value_of(theirs[seed], clips) for seed in seeds])) if theirs else 0.0)

    return interval(statistic, (len(runs), len(runs[0])), draws)
