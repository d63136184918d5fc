"""What needs no network, beside `trocar.promptable`: the filled box, GrabCut, the first mask kept, optical flow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cv2
import numpy as np

from trocar.bench.baselines import filled_box, first_mask_kept, flow_carried, grabcut
from trocar.datasets import Clip
from trocar.metrics import SequenceScore, iou, pooled
from trocar.promptable import ImageScores, first_frames, object_frames, objects_scored
from trocar.prompts import tight_box


def score_image_baselines(clips: Sequence[Clip]) -> dict[str, ImageScores]:
    """The filled box, and GrabCut from the same box; clips are shared among the machine's cores."""
    scores = {"filled box": ImageScores(), "GrabCut": ImageScores()}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for ious in pool.map(_box_baselines, clips):
            for method, values in ious.items():
                scores[method].ious.setdefault("box", []).extend(values)
    return scores


def _box_baselines(clip: Clip) -> dict[str, list[float]]:
    cv2.setNumThreads(1)
    ious: dict[str, list[float]] = {"filled box": [], "GrabCut": []}
    for frame, _, truth in object_frames(clip):
        box = tight_box(truth)
        ious["filled box"].append(iou(filled_box(clip.images[frame], box), truth).value)
        ious["GrabCut"].append(iou(grabcut(clip.images[frame], box), truth).value)
    return ious


def score_tracking_baselines(clips: Iterable[Clip]) -> dict[str, SequenceScore]:
    """The true first mask kept on every frame, and carried along by optical flow."""
    kept: dict[str, SequenceScore] = {}
    carried: dict[str, SequenceScore] = {}
    for clip in clips:
        firsts = first_frames(clip)
        for start in sorted(set(firsts.values())):
            names = [name for name, frame in firsts.items() if frame == start]
            truths = np.stack([clip.labels[start] == name for name in names])
            still = np.stack([first_mask_kept(truth, len(clip.labels) - start) for truth in truths])
            for scores, found in ((kept, still), (carried, flow_carried(clip.images[start:], truths))):
                whole = np.zeros((len(names), *clip.labels.shape), np.bool_)
                whole[:, start:] = found
                scores |= objects_scored(clip, dict(zip(names, whole, strict=True)), firsts)
    return {"first mask kept": pooled(kept), "DIS flow": pooled(carried)}
