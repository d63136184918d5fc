"""Samples of class prompts: an image and a class that shows in it, with the image's features, cached or online.

What is prepared lies in a folder: the cache of features (`trocar.classprompt.embeddings`), `labels.bin` with a map of
classes an image in the network's input, and `images.jsonl` with a line an image, written last, so that a preparation
which was stopped goes on with what is whole. Online only the table and the labels are kept, and pictures are read and
encoded again at each step.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from trocar.classprompt.embeddings import EmbeddingCache
from trocar.classprompt.encoder import encoder_fingerprint
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures
from trocar.track.features import input_of
from trocar.train.class_prompt_pictures import NO_TRUTH, ClassMap, Shots, in_network, version_of
from trocar.train.class_prompt_recipe import ClassData

TABLE, LABELS, CACHES = "images.jsonl", "labels.bin", "features"
ENCODED_TOGETHER = 8


@dataclass(frozen=True)
class Picture:
    """A version of a frame.

    Args:
        shot: its number among the shots.
        version: 0 for the frame as it is.
        key: of its features in the cache; "" online.
        classes: the numbers, from 0, of the classes that show, and their pixels in the network's input.
    """

    shot: int
    version: int
    key: str
    classes: dict[int, int]


@dataclass(frozen=True)
class Sample:
    """A picture, by its number, and the class that is asked for."""

    picture: int
    class_number: int


@dataclass(frozen=True)
class Preparation:
    """How pictures become samples.

    Args:
        made: folder for what is made from data.
        side: of the network's input.
        versions: of each frame, beside the frame as it is.
        online: whether features are encoded at each step.
        shown: the versions, 0 among them, that are ever shown and so prepared; None for all.
    """

    made: Path
    side: int
    versions: int
    online: bool
    shown: frozenset[int] | None = None


class ClassPictures:
    """All pictures of some shots and their versions.

    Args:
        network: encodes; stays as it is.
        shots: frames of the sources.
        data: precision and folder of the cache, and what counts as there.
        how: see there.

    Raises:
        CacheMismatch: the cache holds features of other weights.
    """

    def __init__(self, network: Network, shots: Shots, data: ClassData, how: Preparation) -> None:
        self.network, self.shots, self.how = network, shots, how
        self._input = input_of(network.config, how.side)
        self._encoder = encoder_fingerprint(network)
        folder = Path(data.cache) if data.cache else how.made / CACHES / f"{network.config.name}-{self._encoder}"
        preparation = f"{network.config.input} {how.side}"
        self.cache: EmbeddingCache | None = None
        if not how.online:
            self.cache = EmbeddingCache(folder, network, how.side, self._input.pixels, preparation, data.precision)
        self._folder = how.made / "class-prompts" / self._name()
        self._smallest = max(1.0, data.smallest * how.side**2)
        self.pictures: list[Picture] = []
        self._labels: NDArray[np.uint8] | None = None

    def _name(self) -> str:
        """A folder for each image encoder, list of frames and list of classes."""
        shots = [(shot.source, shot.case, shot.frame) for shot in self.shots.shots]
        cached = "" if self.cache is None else str(self.cache.folder)
        said = json.dumps([self._encoder, self.how.side, self.how.versions, cached, self.shots.names, shots])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def prepare(self, quiet: bool = False) -> None:
        """Read, change and encode what is not there yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.pictures = self._read_table()
        known = {(one.shot, one.version) for one in self.pictures}
        wanted = [(shot, version) for shot in range(len(self.shots.shots)) for version in self._versions(shot)]
        missing = [one for one in wanted if one not in known]
        chunks = [missing[at : at + ENCODED_TOGETHER] for at in range(0, len(missing), ENCODED_TOGETHER)]
        for chunk in track(chunks, description="features", disable=quiet or not chunks):
            self._add(chunk)
        places = sorted(range(len(self.pictures)), key=lambda at: (self.pictures[at].shot, self.pictures[at].version))
        self._places = np.array(places, np.int64)
        self._labels = None

    def _versions(self, shot: int) -> list[int]:
        every = range(1 if self.shots.shots[shot].rendered else self.how.versions + 1)
        return [one for one in every if self.how.shown is None or one in self.how.shown]

    def version_shown(self, shot: int, version: int) -> int:
        """What an epoch of a version shows of a shot: rendered scenes have no versions."""
        return 0 if self.shots.shots[shot].rendered else version

    def samples(self, version: int = 0) -> list[Sample]:
        """The samples of one version, in an order that does not depend on how the preparation went."""
        found = []
        for place in self._places.tolist():
            one = self.pictures[place]
            if one.version == self.version_shown(one.shot, version):
                found += [Sample(place, number) for number, size in one.classes.items() if size >= self._smallest]
        return found

    def absent(self, picture: int, general: frozenset[int]) -> list[int]:
        """The classes that are known not to show on a picture: not one pixel, and its source would say so."""
        one = self.pictures[picture]
        labelled = self.shots.labelled[self.shots.shots[one.shot].source]
        every = range(len(self.shots.names))
        return [
            number for number in every if number not in one.classes and (number in labelled or number not in general)
        ]

    def missing_classes(self) -> list[str]:
        """The names of the classes without a sample."""
        shown = {sample.class_number for sample in self.samples()}
        return [name for number, name in enumerate(self.shots.names) if number not in shown]

    def features(self, pictures: Sequence[int]) -> ImageFeatures:
        """Of some pictures by their numbers, on the network's device."""
        if self.cache is not None:
            return self.cache.read([self.pictures[place].key for place in pictures])
        weight = next(self.network.prompt_encoder.parameters())
        pixels = torch.stack([self._input.pixels(self._picture(place)[0]) for place in pictures]).to(weight)
        with torch.no_grad():
            return self.network.encode_image(pixels)

    def labels(self, pictures: Sequence[int]) -> Tensor:
        """(len(pictures), S, S) uint8 classes from 1, 0 for the ground, 255 where there is no truth."""
        side = self.how.side
        if self._labels is None or len(self._labels) < len(self.pictures):
            shape = (len(self.pictures), side, side)
            self._labels = np.memmap(self._folder / LABELS, dtype=np.uint8, mode="r", shape=shape)
        device = next(self.network.prompt_encoder.parameters()).device
        return torch.from_numpy(self._labels[list(pictures)]).to(device)

    def _picture(self, place: int) -> tuple[NDArray[np.uint8], ClassMap]:
        one = self.pictures[place]
        shot = self.shots.shots[one.shot]
        return version_of(shot, shot.read(), one.version, self.how.versions)

    def _add(self, wanted: Sequence[tuple[int, int]]) -> None:
        images, maps = [], []
        read: dict[int, tuple[NDArray[np.uint8], ClassMap]] = {}
        for number, version in wanted:
            shot = self.shots.shots[number]
            if number not in read:
                read = {number: shot.read()}
            image, labels = version_of(shot, read[number], version, self.how.versions)
            images.append(image)
            maps.append(in_network(labels, self._input))
        keys = self.cache.add(images) if self.cache is not None else [""] * len(images)
        with (self._folder / LABELS).open("ab") as file:
            file.truncate(len(self.pictures) * self.how.side**2)
            file.write(np.stack(maps).tobytes())
            file.flush()
            os.fsync(file.fileno())
        lines = []
        for (number, version), key, labels in zip(wanted, keys, maps, strict=True):
            counts = np.bincount(labels.ravel(), minlength=256)
            classes = {one - 1: int(counts[one]) for one in range(1, NO_TRUTH) if counts[one]}
            self.pictures.append(Picture(number, version, key, classes))
            lines.append(json.dumps(vars(self.pictures[-1])) + "\n")
        with (self._folder / TABLE).open("a", encoding="utf-8") as file_of_lines:
            file_of_lines.writelines(lines)

    def _read_table(self) -> list[Picture]:
        """The pictures that are whole: with labels, and with features in the cache."""
        table, labels = self._folder / TABLE, self._folder / LABELS
        room = labels.stat().st_size // self.how.side**2 if labels.is_file() else 0
        text = table.read_text(encoding="utf-8") if table.is_file() else ""
        found: list[Picture] = []
        for line in text.splitlines()[:room]:
            one = _parsed(line)
            if one is None or (self.cache is not None and one.key not in self.cache):
                break
            found.append(one)
        if len(found) < len(text.splitlines()) or not text.endswith(
            "\n"
        ):  # a line that was being written, or features that were deleted
            part = table.with_name(TABLE + ".part")
            part.write_text("".join(f"{line}\n" for line in text.splitlines()[: len(found)]), encoding="utf-8")
            os.replace(part, table)
        return found


def _parsed(line: str) -> Picture | None:
    try:
        said: dict[str, Any] = json.loads(line)
        classes = {int(number): int(size) for number, size in said.pop("classes").items()}
        return Picture(**said, classes=classes)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
