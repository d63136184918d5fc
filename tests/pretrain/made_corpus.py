"""Small corpora of rendered videos for tests of curation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trocar.datasets.procedure_scenes import procedure_clip
from trocar.pretrain.corpus import Clip, Corpus
from trocar.pretrain.exclusion import Exclusion
from trocar.pretrain.rendered_corpus import write_video
from trocar.pretrain.scan import Scan, scan

#: No rule of quality: the videos are tiny.
ANYTHING = Exclusion(min_side=0, min_duration_s=0, min_fps=0, max_text=0, min_warm=0)
SETTINGS = Scan(clip_s=2.0, min_clip_s=1.0, exclusion=ANYTHING)


def render(path: Path, seed: int, domain: str = "robotic", procedure: str | None = None, frames: int = 16) -> None:
    """A rendered video at 4 frames a second."""
    write_video(path, procedure_clip(seed, domain, procedure, frames, 48).images, 4)


def small_corpus(folder: Path, videos: int = 6) -> Corpus:
    """Videos of two procedures, scanned; two clips each."""
    for number in range(videos):
        procedure = ("suturing pad", "prostatectomy")[number % 2]
        render(folder / "root" / procedure.replace(" ", "_") / f"{number}.mp4", number, "robotic", procedure)
    return scan([folder / "root"], folder / "corpus", SETTINGS)


def made_clip(video: str, start_s: float, picture_hash: str = "", split: str = "") -> Clip:
    """A clip of which only what is given matters."""
    name, stop_s = f"{video}@{start_s:.2f}", start_s + 2.0
    return Clip(name, video, video, "robotic", "x", split, "unlabelled", start_s, stop_s, picture_hash, "")


def noise(seed: int, side: int = 48) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture of smooth noise, (side, side, 3)."""
    return procedure_clip(seed, "laparoscopy", None, 1, side).images[0]
