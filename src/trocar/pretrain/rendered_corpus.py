"""A rendered corpus: videos of `procedure_scenes`, long-tailed as raw corpora are, for trials without patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trocar.datasets.procedure_scenes import draw_procedure, procedure_clip
from trocar.formats.h264 import write_video
from trocar.formats.whole_file import whole_file


@dataclass(frozen=True)
class RenderedCorpus:
    """What is rendered.

    Args:
        videos: how many.
        frames: of each.
        fps: frames a second.
        side: rows and columns, pixels.
        seed: decides everything.
    """

    videos: int = 400
    frames: int = 32
    fps: int = 8
    side: int = 128
    seed: int = 0


def render_corpus(folder: Path, settings: RenderedCorpus, progress: Callable[[int, int], None] | None = None) -> None:
    """Write videos as FOLDER/DOMAIN/PROCEDURE/NUMBER.mp4, passing over what is there, and a source.toml.

    Raises:
        ValueError: nothing to render, or frames of an odd size.
    """
    if settings.videos < 1 or settings.frames < 1 or settings.fps < 1 or settings.side % 2 or settings.side < 32:
        raise ValueError(f"{settings}: need videos, frames and fps of at least 1 and an even side of at least 32")
    for number in range(settings.videos):
        domain, procedure = draw_procedure(np.random.default_rng([21, settings.seed, number]))
        path = folder / domain / procedure.replace(" ", "_") / f"{number:06d}.mp4"
        if not path.is_file():
            seed = settings.seed * 10_000_000 + number
            clip = procedure_clip(seed, domain, procedure, settings.frames, settings.side)
            write_video(path, clip.images, settings.fps)
        if progress:
            progress(number + 1, settings.videos)
    with whole_file(folder / "source.toml") as temporary:
        said = f'name = "rendered-{settings.seed}"\npool = "unlabelled"\nlicence = "Apache-2.0"\n'
        temporary.write_text(said, encoding="utf-8")
