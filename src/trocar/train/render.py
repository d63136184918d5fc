"""Rendering synthetic scenes ahead of a run, so that training never waits for them."""

from __future__ import annotations

import difflib
import os
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from trocar.datasets.annotation_noise import jittered
from trocar.datasets.clip import Clip
from trocar.datasets.scenes import SCENES, scene
from trocar.datasets.visit_scenes import visits_clip

TRAIN_SEEDS = 1_000_000  # the first seed; scores are taken on scenes with far larger ones


ANY = "any"
#: Kind -> renderer(seed, frames, size). "any" draws one of the others but "visits", which are for training to remember.
KINDS: dict[str, Callable[[int, int, int], Clip]] = {
    ANY: lambda seed, frames, size: scene(seed, frames=frames, size=size),
    **SCENES,
    "visits": visits_clip,
}


@dataclass(frozen=True)
class SceneShape:
    """What is rendered.

    Args:
        frames: of a clip.
        side: rows and columns of a frame, pixels.
        kind: "any" for nano's mix, or one kind, as "visits", in which class-named instruments leave and return.
        jitter_px: how far boundaries of the labels may lie off, as `trocar.datasets.annotation_noise` says; 0 for exact
            labels.
    """

    frames: int = 6
    side: int = 256
    kind: str = ANY
    jitter_px: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, KINDS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"scene_shape.kind {self.kind!r} is not known: {hint}choose from {', '.join(KINDS)}")
        if self.jitter_px < 0:
            raise ValueError(f"scene_shape.jitter_px is 0 for exact labels, or above, not {self.jitter_px}")

    def folder(self, made: Path) -> Path:
        """Where scenes of this shape lie in the folder of what is made from data."""
        if self == SceneShape():
            return made / "scenes"
        kind = "" if self.kind == ANY else f"-{self.kind}"
        jitter = f"-jitter{self.jitter_px:g}" if self.jitter_px else ""
        return made / f"scenes{kind}-{self.frames}x{self.side}{jitter}"


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
    clip = KINDS[shape.kind](seed, shape.frames, shape.side)
    labels = jittered(clip.labels, np.random.default_rng([51, seed]), shape.jitter_px)
    path = scene_file(folder, seed)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        names = np.array([f"{number} {name}" for number, name in sorted(clip.classes.items())], np.str_)
        np.savez(file, images=clip.images, labels=labels, ordered=np.bool_(clip.ordered), names=names)
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
