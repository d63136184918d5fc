"""Tasks: labelled clips in three parts, from a recognition set on disk or rendered from seeds."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.datasets.location import locate
from trocar.datasets.procedure_scenes import DOMAINS, TASKS, procedure_clip
from trocar.datasets.recognition_clip import Parts, RecognitionClip
from trocar.datasets.recognition_sets import RecognitionSet, recognition_set, recognition_sets
from trocar.datasets.recognition_splits import PARTS
from trocar.formats import open_source
from trocar.frames import FrameSource
from trocar.recognition.views import Frames, square

RENDERED = "rendered"
FIRST_SEED = 2**32
"""Of rendered downstream clips, so that no pretraining on rendered clips has seen them."""
SEEDS_A_PART = 10**7
OPEN_VIDEOS = 4
KEPT_BYTES = 2**29
"""Of rendered clips that are kept in memory: every epoch of every encoder sees the same ones."""

Choose = Callable[[int], NDArray[np.intp]]
"""The length of a clip -> (views, frames) numbers of its frames."""


@dataclass(frozen=True, eq=False)
class Task:
    """A question with one answer a clip.

    Args:
        name: such as "cholec80" or "rendered/robotic/gesture".
        domain: one of SurgRec's four.
        topic: what the classes are, in a word or two.
        classes: the answers.
        labels: part -> (clips,) numbers of classes.
        keys: part -> what tells each clip from any other, for caches.
        pixels: (part, number of a clip, which of its frames) -> (views, frames, S, S, 3).
        source: where the clips come from, for records.
    """

    name: str
    domain: str
    topic: str
    classes: tuple[str, ...]
    labels: Mapping[str, NDArray[np.int64]]
    keys: Mapping[str, tuple[str, ...]]
    pixels: Callable[[str, int, Choose], Frames]
    source: str

    def fingerprint(self, part: str, choose: Choose) -> str:
        """Of the clips of one part and their labels; the first clip's pixels stand for how they are made."""
        digest = hashlib.sha256("\n".join(self.keys[part]).encode())
        digest.update(self.labels[part].tobytes())
        digest.update(self.pixels(part, 0, choose).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class RenderedClips:
    """How many clips of each rendered task.

    Args:
        train, validation, test: clips of each part; their seeds differ from one another's and from pretraining's.
        seed: another number renders others.
    """

    train: int = 400
    validation: int = 150
    test: int = 300
    seed: int = 0


def task_names(asked: str) -> list[str]:
    """The tasks that a name stands for: "rendered" for all rendered ones, "rendered/robotic" for those of a domain.

    Raises:
        ValueError: there is no such task.
    """
    if asked in recognition_sets():
        return [asked]
    rendered = [f"{RENDERED}/{domain}/{task}" for domain in DOMAINS for task in TASKS[domain]]
    found = [name for name in rendered if name == asked or name.startswith(f"{asked}/")]
    if not found:
        known = ", ".join([*recognition_sets(), *rendered])
        raise ValueError(f"there is no recognition task {asked!r}: choose from {known}")
    return found


def open_task(name: str, shape: tuple[int, int], rendered: RenderedClips, data: Path | None = None) -> Task:
    """A task by one of `task_names`.

    Args:
        name: of a recognition set, or "rendered/DOMAIN/TASK".
        shape: frames of a rendered clip, and the side of all clips, pixels.
        rendered: how many rendered clips.
        data: the folder of all data sets; left out, the one that TROCAR_DATA names.

    Raises:
        ValueError, FileNotFoundError: there is no such task, or its files are missing or damaged.
    """
    if name.startswith(f"{RENDERED}/"):
        _, domain, task = name.split("/")
        return _rendered(domain, task, shape, rendered)
    dataset = recognition_set(name)
    return clip_task(dataset, dataset.read(locate(name, data)), shape[1])


def clip_task(dataset: RecognitionSet, parts: Parts, side: int) -> Task:
    """A task of a set's clips on disk, its pictures scaled and cut to `side` pixels."""
    opened = _Opened()

    def pixels(part: str, index: int, choose: Choose) -> Frames:
        clip = parts[part][index]
        source = opened.source(clip.video)
        stop = len(source) if clip.stop is None else clip.stop
        if stop > len(source):
            raise ValueError(f"{clip.video} has {len(source)} frames and a clip of it ends at {stop}: fetch it again")
        if stop <= clip.start:
            raise ValueError(f"{clip.name} has no frame: {clip.video} ends at {len(source)}; take it from the labels")
        wanted = choose(stop - clip.start)
        frames = {int(number): square(source[clip.start + int(number)].image, side) for number in np.unique(wanted)}
        return np.stack([np.stack([frames[int(number)] for number in view]) for view in wanted])

    return Task(
        dataset.name,
        dataset.domain,
        dataset.task,
        tuple(dataset.classes),
        {part: np.array([clip.label for clip in parts[part]], np.int64) for part in PARTS},
        {part: tuple(_key(clip) for clip in parts[part]) for part in PARTS},
        pixels,
        dataset.split_from,
    )


def _key(clip: RecognitionClip) -> str:
    known = clip.video.stat()
    return f"{clip.name} {known.st_size} {known.st_mtime_ns}"


class _Opened:
    """The videos read last, which clips next to one another share."""

    def __init__(self) -> None:
        self._sources: OrderedDict[Path, FrameSource] = OrderedDict()

    def source(self, path: Path) -> FrameSource:
        if path not in self._sources:
            self._sources[path] = open_source(str(path))
            while len(self._sources) > OPEN_VIDEOS:
                closing: Any = self._sources.popitem(last=False)[1]
                getattr(closing, "close", lambda: None)()
        self._sources.move_to_end(path)
        return self._sources[path]


class _Rendered:
    """Rendered clips, the latest ones kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str, int, int], Frames] = OrderedDict()
        self._bytes = 0

    def images(self, seed: int, domain: str, frames: int, side: int) -> Frames:
        key = (seed, domain, frames, side)
        found = self._kept.pop(key, None)
        if found is None:
            found = procedure_clip(seed, domain, frames=frames, side=side).images
            self._bytes += found.nbytes
        self._kept[key] = found  # at the end: it is the one asked for last
        while self._bytes > KEPT_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found


_RENDERED = _Rendered()


def _rendered(domain: str, task: str, shape: tuple[int, int], counts: RenderedClips) -> Task:
    if task not in TASKS.get(domain, {}):
        raise ValueError(f"there is no rendered task {domain}/{task}: see `procedure_scenes.TASKS`")
    frames, side = shape
    begin = FIRST_SEED * (1 + counts.seed)
    numbers = {"train": counts.train, "validation": counts.validation, "test": counts.test}
    if not all(0 < count <= SEEDS_A_PART for count in numbers.values()):
        raise ValueError(f"a part of a rendered task has from 1 to {SEEDS_A_PART} clips, not {numbers}")
    seeds = {
        part: [begin + SEEDS_A_PART * place + number for number in range(numbers[part])]
        for place, part in enumerate(PARTS)
    }

    def pixels(part: str, index: int, choose: Choose) -> Frames:
        return np.asarray(_RENDERED.images(seeds[part][index], domain, frames, side)[choose(frames)])

    labels = {
        part: np.array([_rendered_labels(domain, seed)[task] for seed in listed], np.int64)
        for part, listed in seeds.items()
    }
    keys = {part: tuple(f"{domain} {seed} {frames} {side}" for seed in listed) for part, listed in seeds.items()}
    name, classes = f"{RENDERED}/{domain}/{task}", TASKS[domain][task]
    return Task(name, domain, task, classes, labels, keys, pixels, "rendered from seeds")


@cache
def _rendered_labels(domain: str, seed: int) -> Mapping[str, int]:
    """Of all tasks of a domain; the smallest clip of a seed has the same ones as a large clip."""
    return procedure_clip(seed, domain, frames=1, side=32).labels
