"""How long the two costly stages take on this machine: clustering, and reading clips before and after transcoding.

Both as seconds on the clock and as seconds of processor time, which other work on the machine changes less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trocar.datasets.procedure_scenes import procedure_clip
from trocar.formats.h264 import write_video
from trocar.load import best_device
from trocar.machine import peak_memory_mb
from trocar.pretrain.clip_frames import frames_at
from trocar.pretrain.cluster import Hierarchy, cluster
from trocar.pretrain.embed import Embeddings
from trocar.pretrain.transcode import Transcoding, write_small_video

SURGREC = 554_000
"""Clips of SurgRec's corpus, in clusters of 25,000, 5,000 and 1,000."""


@dataclass(frozen=True)
class CurationSpeed:
    """What is measured.

    Args:
        points: vectors to cluster; 0 leaves it out. 11,080 is a fiftieth of SurgRec's corpus.
        width: of a vector.
        intrinsic: dimensions that the made-up vectors really vary in, noise apart.
        cluster: the hierarchy, of a fiftieth of SurgRec's clusters.
        clips: to read from a video as it is and from its small copy; 0 leaves it out.
        rows: of that rendered video; it is 16:9.
        video_s: its length, seconds.
        seed: of everything made up.
    """

    points: int = 11_080
    width: int = 768
    intrinsic: int = 64
    cluster: Hierarchy = field(default_factory=lambda: Hierarchy(levels=(500, 100, 20)))
    clips: int = 20
    rows: int = 720
    video_s: int = 40
    seed: int = 0


def measure(settings: CurationSpeed, folder: Path, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Measure, and say what for.

    Args:
        folder: for the videos that are made.
    """
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    if settings.points:
        figures["clustering"] = _clustering(settings, say)
    if settings.clips:
        figures["reading"] = _reading(settings, folder)
    return figures


def made_up(settings: CurationSpeed) -> Embeddings:
    """Vectors of length 1 about long-tailed clouds in `intrinsic` dimensions, with a little noise in all others."""
    rng = np.random.default_rng([51, settings.seed])
    clouds = max(2, settings.points // 40)
    own = rng.zipf(1.3, 4 * settings.points)
    own = own[own <= clouds][: settings.points] - 1
    inner = rng.normal(0, 1, (clouds, settings.intrinsic))[own] + rng.normal(0, 0.8, (len(own), settings.intrinsic))
    turned = inner @ rng.normal(0, 1, (settings.intrinsic, settings.width)) / settings.intrinsic**0.5
    turned += rng.normal(0, 0.1, turned.shape)
    vectors = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    return Embeddings(tuple(map(str, range(len(vectors)))), vectors, {})


def _clustering(settings: CurationSpeed, say: Callable[[str], None] | None) -> dict[str, Any]:
    found = made_up(settings)
    device = settings.cluster.device or ("cuda" if best_device() == "cuda" else "cpu")
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started, busy = time.perf_counter(), time.process_time()
    tree = cluster(found, replace(settings.cluster, device=device), say)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds, processor = time.perf_counter() - started, time.process_time() - busy
    scale = SURGREC / len(found.clips)
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_memory_mb()
    leaves = torch.from_numpy(tree.centroids[0])
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "points": len(found.clips),
        "width": settings.width,
        "levels": list(settings.cluster.levels),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "peak_memory_mb": round(memory),
        # Points and clusters both grow, so that every step costs the square of the scale.
        "seconds_at_554k_by_the_square": round(seconds * scale**2),
        "processor_seconds_at_554k_by_the_square": round(processor * scale**2),
        "potential": round(float(torch.from_numpy(tree.distances).double().sum()), 3),
        "leaves": len(leaves),
    }


def _reading(settings: CurationSpeed, folder: Path) -> dict[str, Any]:
    """Clips of 16 frames, every fourth, from random moments of a rendered video and of its small copy."""
    rng = np.random.default_rng([52, settings.seed])
    large, small = folder / "large.mp4", folder / "small.mp4"
    columns = settings.rows * 16 // 9 // 2 * 2
    (still,) = procedure_clip(settings.seed, "laparoscopy", None, 1, 256).images
    _write_large(large, still, (settings.rows, columns), 25 * settings.video_s)
    write_small_video(large, small, Transcoding())
    starts = rng.uniform(0, settings.video_s - 3, settings.clips)
    rates, busy = {}, {}
    for name, path in (("original", large), ("copy", small)):
        began, worked = time.perf_counter(), time.process_time()
        for start in starts.tolist():
            frames_at(path, [start + number * 4 / 25 for number in range(16)], 320)
        rates[name] = settings.clips / (time.perf_counter() - began)
        busy[name] = (time.process_time() - worked) / settings.clips
    return {
        "rows": settings.rows,
        "clips": settings.clips,
        "original_clips_per_s": round(rates["original"], 2),
        "copy_clips_per_s": round(rates["copy"], 2),
        "times_faster": round(rates["copy"] / rates["original"], 1),
        "original_processor_s_per_clip": round(busy["original"], 3),
        "copy_processor_s_per_clip": round(busy["copy"], 3),
        "times_less_work": round(busy["original"] / busy["copy"], 1),
    }


def _write_large(path: Path, still: Any, size: tuple[int, int], frames: int) -> None:
    """A video without cuts that pans to and fro over an enlarged still; its size matters more than what it shows."""
    import cv2

    rows, columns = size
    wide = cv2.resize(still, (columns + 64, rows), interpolation=cv2.INTER_CUBIC)
    lefts = (abs(number % 128 - 64) for number in range(frames))
    steps = (np.asarray(wide[:, left : left + columns], np.uint8) for left in lefts)
    write_video(path, steps, 25)
