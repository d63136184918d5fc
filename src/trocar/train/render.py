"""Rendering synthetic scenes ahead of a run, so that training never waits for them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from trocar.datasets.clip import Clip
from trocar.datasets.scenes import scene

TRAIN_SEEDS = 1_000_000  # the first seed; scores are taken on scenes with far larger ones


@dataclass(frozen=True)
class SceneShape:
    """Frames of a rendered clip, and their rows and columns in pixels."""

    frames: int = 6
    side: int = 256

    def folder(self, made: Path) -> Path:
        """Where scenes of this shape lie in the folder of what is made from data."""
        return made / ("scenes" if self == SceneShape() else f"scenes-{self.frames}x{self.side}")


def render_scenes(folder: Path, count: int, processes: int = 1, shape: SceneShape | None = None) -> None:
    """Render the first `count` training scenes into `folder`, a file each; those already there are kept."""
    shape = shape or SceneShape()
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in range(TRAIN_SEEDS, TRAIN_SEEDS + count) if not scene_file(folder, seed).exists()]
    if processes <= 1:
        for seed in track(missing, description="scenes"):
            render_one(folder, shape, seed)
        return
    with ProcessPoolExecutor(processes) as pool:
        work = pool.map(partial(render_one, folder, shape), missing, chunksize=8)
        for _ in track(work, description="scenes", total=len(missing)):
            pass


def render_one(folder: Path, shape: SceneShape, seed: int) -> None:
    """Render one scene; its file appears when it is whole."""
    cv2.setNumThreads(1)
    clip = scene(seed, frames=shape.frames, size=shape.side)
    path = scene_file(folder, seed)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        names = np.array([f"{number} {name}" for number, name in sorted(clip.classes.items())], np.str_)
        np.savez(file, images=clip.images, labels=clip.labels, ordered=np.bool_(clip.ordered), names=names)
    os.replace(part, path)


def scene_file(folder: Path, seed: int) -> Path:
    return folder / f"{seed}.npz"


def scene_files(folder: Path) -> Sequence[Path]:
    """The rendered scenes in `folder`, in order of their seeds.

    Raises:
        FileNotFoundError: there is none.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no rendered scenes: `trocar train` renders them")
    return files


def read_scene(path: Path) -> Clip:
    """A rendered scene as a clip; in files that have no names yet, everything is called "object".

    Raises:
        ValueError: the file is not a rendered scene.
    """
    try:
        with np.load(path) as stored:
            images, labels, ordered = stored["images"], stored["labels"], bool(stored["ordered"])
            named = [str(line).partition(" ") for line in stored["names"]] if "names" in stored else []
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a rendered scene: delete it and render again") from error
    classes = {int(number): name for number, _, name in named}
    classes = classes or {int(label): "object" for label in np.unique(labels) if label}
    return Clip(path.stem, images, labels, classes, ordered=ordered)
