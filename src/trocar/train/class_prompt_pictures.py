"""Pictures that class prompts are learned from: frames of data sets and scenes, their classes, and their versions."""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets import DATASETS, Case, Clip
from trocar.datasets.instruments import TOOLS
from trocar.datasets.location import locate
from trocar.datasets.lookalike_scenes import LOOKALIKES, lookalike_scene
from trocar.datasets.surgical_scenes import surgical_clip
from trocar.datasets.texture import OBJECTS, TISSUES
from trocar.load import load_dataset
from trocar.track.features import NetworkInput
from trocar.train.changes import Change, Drawn, draw_changes, placed, recoloured
from trocar.train.class_prompt_recipe import ClassData

Image = NDArray[np.uint8]
ClassMap = NDArray[np.uint8]

NO_TRUTH = 255  # in a map of classes
SCENE_SIDE = 256
TRAIN_SEED, INNER_SEED = 1_000_000, 700_000_000  # the first seeds of scenes; results are reported on others
SCENES: dict[str, Callable[[int, int, int], Clip]] = {
    "lookalike-scenes": lookalike_scene,
    "surgical-scenes": surgical_clip,
}
FLIPS = (Change("flip_x", 0.5), Change("flip_y", 0.5))
#: The release's four families, an equal part of the versions each. Rotation has two coins there, so a quarter turns.
FAMILIES: tuple[tuple[Change, ...], ...] = (
    FLIPS,
    (*FLIPS, Change("zoom", 0.5, 1.0, 1.2)),
    (*FLIPS, Change("rotate", 0.25, 0.0, 30.0)),
    (
        *FLIPS,
        Change("brightness", 0.5, 0.6, 1.4),
        Change("contrast", 0.5, 0.6, 1.4),
        Change("saturation", 0.5, 0.6, 1.4),
    ),
)
COLOUR = ("brightness", "contrast", "saturation")


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of a source; nothing is read before `read` is called.

    Args:
        source: as the recipe names it.
        case: which of its cases.
        frame: which frame of it.
        read: gives the picture, (rows, columns, 3) uint8 RGB, and its classes, (rows, columns) from 1; 0 for the ground
            and 255 where there is no truth.
        rendered: whether it is a scene, which has no augmented versions.
    """

    source: str
    case: str
    frame: int
    read: Callable[[], tuple[Image, ClassMap]]
    rendered: bool = False


@dataclass(frozen=True, eq=False)
class Shots:
    """All frames of some sources.

    Args:
        names: of the classes, in the order of their numbers.
        shots: the frames.
        labelled: source -> the numbers, from 0, of the classes that it labels.
        known: what the sources call things, after renaming.
    """

    names: tuple[str, ...]
    shots: tuple[Shot, ...]
    labelled: Mapping[str, frozenset[int]]
    known: tuple[str, ...] = ()


def list_shots(data: ClassData, sources: Sequence[str], scenes: int, seed: int, names: Sequence[str] = ()) -> Shots:
    """The frames of sources; of data sets no pixels are read.

    Args:
        data: how names are changed, and where data sets lie.
        sources: which.
        scenes: clips of each rendered source.
        seed: of the first of them.
        names: of the classes; those that the sources have where none are given.

    Raises:
        ValueError: there is no such source, or none of the classes is in any.
        FileNotFoundError: a data set is missing.
    """
    found: list[tuple[str, list[str], list[_Frames]]] = []
    for source in sources:
        groups = _rendered(source, data, scenes, seed) if source in SCENES else _of_dataset(source, data)
        found.append((source, list(dict.fromkeys(name for group in groups for name in group.names)), groups))
    known = tuple(dict.fromkeys(name for _, own, _ in found for name in own))
    every = tuple(names) or known
    number = {name: place for place, name in enumerate(every)}
    shots = [shot for source, _, groups in found for group in groups for shot in group.shots(source, number)]
    labelled = {source: frozenset(number[name] for name in own if name in number) for source, own, _ in found}
    if not any(labelled.values()):
        raise ValueError(
            f"none of the classes {', '.join(every)} is in {', '.join(sources)}: see data.names and rename"
        )
    return Shots(every, tuple(shots), labelled, known)


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frames that are read together, and the names of their classes."""

    case: str
    count: int
    names: tuple[str, ...]
    read: Callable[[int, Mapping[str, int]], tuple[Image, ClassMap]]
    rendered: bool

    def shots(self, source: str, number: Mapping[str, int]) -> Iterator[Shot]:
        for frame in range(self.count):
            yield Shot(source, self.case, frame, partial(self.read, frame, number), self.rendered)


def _rendered(source: str, data: ClassData, scenes: int, seed: int) -> list[_Frames]:
    """The clips of a kind of scenes; the last one is kept, as its frames are asked for one after the other."""
    render = SCENES[source]
    kept: dict[int, Clip] = {}

    def clip_of(one: int) -> Clip:
        if one not in kept:
            kept.clear()
            cv2.setNumThreads(1)
            kept[one] = render(one, data.scene_frames, SCENE_SIDE)
        return kept[one]

    def read(one: int, frame: int, number: Mapping[str, int]) -> tuple[Image, ClassMap]:
        clip = clip_of(one)
        table = np.zeros(256, np.uint8)
        for label, name in clip.classes.items():
            table[label] = number.get(data.rename.get(name, name), -1) + 1
        labels = table[clip.labels[frame]]
        if clip.ignore is not None:
            labels[clip.ignore[frame]] = NO_TRUTH
        return clip.images[frame], labels

    known = tuple(dict.fromkeys(data.rename.get(name, name) for name in _scene_names(source)))
    return [
        _Frames(str(one), data.scene_frames, known, partial(read, one), rendered=True)
        for one in range(seed, seed + scenes)
    ]


def _scene_names(source: str) -> tuple[str, ...]:
    """What things may be called in scenes of a kind."""
    anatomy = (*TISSUES, "glottis", "vocal folds", "vocal fold", "lesion", "duct", "tube", "thread", "blood", "thing")
    return LOOKALIKES if source == "lookalike-scenes" else (*TOOLS, *OBJECTS, *anatomy)


def _of_dataset(source: str, data: ClassData) -> list[_Frames]:
    name, _, split = source.partition("/")
    if name not in DATASETS or not split:
        near = difflib.get_close_matches(name, [*SCENES, *DATASETS], n=1)
        hint = f"did you mean {near[0]}? " if near and near[0] != name else ""
        raise ValueError(
            f"no source of pictures is called {source!r}: {hint}write DATASET/SPLIT (data sets: "
            f"{', '.join(DATASETS)}), or {' or '.join(SCENES)}"
        )
    dataset = load_dataset(name)
    own = data.own_data if name == "own-data" and data.own_data else ""
    root = Path(own) if own else locate(dataset.folder, Path(data.folder) if data.folder else None)
    return [_of_case(case, data) for case in dataset.read(root, split)]


def _of_case(case: Case, data: ClassData) -> _Frames:
    frames = case.annotated_frames

    def read(place: int, number: Mapping[str, int]) -> tuple[Image, ClassMap]:
        image, truth = case.open()[frames[place]].image, case.truth(frames[place])
        assert truth is not None
        labels = np.zeros(image.shape[:2], np.uint8)
        for one in sorted(truth.masks):
            name = case.objects[one]
            labels[truth.masks[one]] = number.get(data.rename.get(name, name), -1) + 1
        if truth.ignore is not None:
            labels[truth.ignore] = NO_TRUTH
        return image, labels

    names = tuple(dict.fromkeys(data.rename.get(name, name) for name in case.objects.values()))
    return _Frames(case.name, len(frames), names, read, rendered=False)


def family_of(version: int, versions: int) -> tuple[Change, ...]:
    """The changes of a version, counted from 1: the first quarter of all versions are flips, and so on."""
    return FAMILIES[(version - 1) * len(FAMILIES) // versions]


def version_of(shot: Shot, read: tuple[Image, ClassMap], version: int, versions: int) -> tuple[Image, ClassMap]:
    """One of a frame's versions, of its own size; version 0 is the frame as it was `read`.

    What is drawn depends on the frame and the version alone, so that runs with any seed share their cached features.
    """
    if version == 0:
        return read
    rng = np.random.default_rng([zlib.crc32(f"{shot.source} {shot.case} {shot.frame}".encode()), version])
    return changed(*read, family_of(version, versions), rng)


def changed(
    image: Image, labels: ClassMap, changes: Sequence[Change], rng: np.random.Generator
) -> tuple[Image, ClassMap]:
    """A picture and its map of classes after changes that are drawn, of the same size.

    What a magnification crops lies anywhere in the picture; what a turn brings in is black, and has no truth.
    """
    rows, columns = labels.shape
    (drawn,) = draw_changes(changes, rng, 1)
    zoom = next((one.value for one in drawn if one.kind == "zoom"), 1.0)
    matrix = np.diag([columns, rows, 1.0]) @ placed(drawn, (rows, columns), 1)
    room = (zoom - 1) / 2
    matrix[:2, 2] += rng.uniform(-room, room, 2) * (columns, rows)
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV counts from pixel centres
    moved = (np.linalg.inv(centre) @ matrix @ centre)[:2]
    size = (columns, rows)
    picture = np.asarray(cv2.warpAffine(image, moved, size, flags=cv2.INTER_LINEAR), np.uint8)
    truth = cv2.warpAffine(labels, moved, size, flags=cv2.INTER_NEAREST, borderValue=NO_TRUTH)
    colour: list[Drawn] = [one for one in drawn if one.kind in COLOUR]
    return recoloured(picture, colour, rng) if colour else picture, np.asarray(truth, np.uint8)


def in_network(labels: ClassMap, shape: NetworkInput) -> ClassMap:
    """A map of classes where the frame lies in the network's input, (S, S); beside it there is no truth."""
    size = (labels.shape[0], labels.shape[1])
    rows, columns = shape.extent(size)
    out = np.full((shape.side, shape.side), NO_TRUTH, np.uint8)
    out[:rows, :columns] = cv2.resize(labels, (columns, rows), interpolation=cv2.INTER_NEAREST)
    return out
