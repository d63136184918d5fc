"""Image features kept on disk, so that training and repeated scoring encode each image once.

A cache is a folder: `cache.json` says which encoder and which preparation of the frames the features come from, what
one image takes, and in what shapes; `features.bin` holds one record after the other and is read through memory mapping;
`keys.txt` has a line for each record, the hash of encoder, preparation and image. A line is written after its record,
so that a run which was stopped goes on with what is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.classprompt.encoder import encoder_fingerprint
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures

DTYPES = {"float16": torch.float16, "float32": torch.float32}
MAPS = ("stride4", "stride8", "stride16")
HEADER, RECORDS, KEYS = "cache.json", "features.bin", "keys.txt"
KEY_DIGITS = 32


class CacheMismatch(ValueError):
    """A cache of other weights, another preparation, or another layout."""


class EmbeddingCache:
    """The features of images, under the hash of each image.

    One process writes to a folder at a time; any number may read.

    Args:
        folder: is made when it is missing.
        network: encodes what is missing; on its device and in its dtype.
        side: of its square input, in pixels.
        prepare: a frame as pixels, (rows, columns, 3) uint8 RGB -> (3, side, side).
        preparation: names all that decides what `prepare` does, such as "stretched 256".
        dtype: "float16" takes half the room of "float32" and rounds.

    Raises:
        CacheMismatch: the folder holds features of another encoder, preparation, size or dtype.
        ValueError: it holds something that is no cache.
    """

    def __init__(
        self,
        folder: Path,
        network: Network,
        side: int,
        prepare: Callable[[NDArray[np.uint8]], Tensor],
        preparation: str,
        dtype: str = "float16",
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"features are kept as {' or '.join(DTYPES)}, not {dtype!r}")
        self.folder, self._network, self._prepare = folder, network, prepare
        weight = next(network.prompt_encoder.parameters())
        self._dtype, self._like = DTYPES[dtype], weight
        self._shapes = _shapes(network, side)
        self._values = sum(int(np.prod(shape)) for shape in self._shapes)
        self._said: dict[str, Any] = {
            "encoder": encoder_fingerprint(network),
            "network": network.config.name,
            "preparation": preparation,
            "side": side,
            "dtype": dtype,
            "shapes": dict(zip(MAPS, map(list, self._shapes), strict=True)),
            "bytes_per_image": self._values * self._dtype.itemsize,
        }
        self._open_folder()
        self._places: dict[str, int] = {key: place for place, key in enumerate(self._whole_records())}
        self._map: NDArray[Any] | None = None
        self._tidy = False

    @property
    def bytes_per_image(self) -> int:
        """What one image takes on disk."""
        return int(self._said["bytes_per_image"])

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def key(self, image: NDArray[np.uint8]) -> str:
        """The hash of encoder, preparation and image."""
        digest = hashlib.sha256(f"{self._said['encoder']} {self._said['preparation']} {image.shape}".encode())
        digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()[:KEY_DIGITS]

    def add(self, images: Iterable[NDArray[np.uint8]]) -> list[str]:
        """Encode those of some images that are missing, all at once, and return the key of each."""
        given = list(images)
        keys = [self.key(image) for image in given]
        missing = {key: image for key, image in zip(keys, given, strict=True) if key not in self._places}
        if missing:
            self._append(list(missing), self.encode(list(missing.values())))
        return keys

    @torch.no_grad()
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> ImageFeatures:
        """Features of images as they are encoded, without the cache."""
        pixels = torch.stack([self._prepare(image) for image in images]).to(self._like)
        return self._network.encode_image(pixels)

    def read(self, keys: Sequence[str]) -> ImageFeatures:
        """The features of images by their keys, in the network's dtype on its device.

        Raises:
            KeyError: one is not in the cache.
        """
        records = self._records()[[self._places[key] for key in keys]]
        stored = torch.from_numpy(records)
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        maps = [
            part.reshape(len(keys), *shape).to(self._like)
            for part, shape in zip(stored.split(sizes, dim=1), self._shapes, strict=True)
        ]
        return ImageFeatures(*maps)

    def _records(self) -> NDArray[Any]:
        if self._map is None or len(self._map) < len(self._places):
            kind = np.float16 if self._dtype == torch.float16 else np.float32
            shape = (len(self._places), self._values)
            self._map = np.memmap(self.folder / RECORDS, dtype=kind, mode="r", shape=shape)
        return self._map

    def _append(self, keys: Sequence[str], features: ImageFeatures) -> None:
        if not self._tidy:
            self._cut_off()
        rows = torch.cat([getattr(features, name).flatten(1) for name in MAPS], dim=1).to("cpu", self._dtype)
        with (self.folder / RECORDS).open("ab") as file:
            file.write(rows.contiguous().numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        with (self.folder / KEYS).open("a", encoding="utf-8") as file:
            file.writelines(f"{key}\n" for key in keys)
        for key in keys:
            self._places[key] = len(self._places)

    def _open_folder(self) -> None:
        head = self.folder / HEADER
        if not head.is_file():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise ValueError(f"{self.folder} is not empty and holds no cache of features: name another folder")
            self.folder.mkdir(parents=True, exist_ok=True)
            part = head.with_name(HEADER + ".part")
            part.write_text(json.dumps(self._said, indent=1) + "\n", encoding="utf-8")
            os.replace(part, head)
            return
        try:
            found = json.loads(head.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{head} cannot be read: delete the folder, and it is made anew") from error
        differs = [name for name, value in self._said.items() if name != "network" and found.get(name) != value]
        if differs:
            said = "; ".join(f"{name} {found.get(name)!r}, wanted {self._said[name]!r}" for name in differs)
            raise CacheMismatch(
                f"{self.folder} holds features of other weights or settings ({said}): name another folder, or delete it"
            )

    def _whole_records(self) -> list[str]:
        """The keys of what is whole."""
        keys, records = self.folder / KEYS, self.folder / RECORDS
        text = keys.read_text(encoding="utf-8") if keys.is_file() else ""
        room = records.stat().st_size // self.bytes_per_image if records.is_file() else 0
        return [line for line in text.splitlines() if len(line) == KEY_DIGITS][:room]

    def _cut_off(self) -> None:
        """Remove what a stopped run left half-written."""
        keys, records = self.folder / KEYS, self.folder / RECORDS
        if records.is_file():
            os.truncate(records, len(self._places) * self.bytes_per_image)
        part = keys.with_name(KEYS + ".part")
        part.write_text("".join(f"{key}\n" for key in self._places), encoding="utf-8")
        os.replace(part, keys)
        self._tidy = True


def _shapes(network: Network, side: int) -> tuple[tuple[int, int, int], ...]:
    """Shapes of an image's three maps."""
    dim = network.config.hidden_dim
    finer = (dim // 8, dim // 4) if network.config.remembers else (0, 0)
    return (finer[0], side // 4, side // 4), (finer[1], side // 8, side // 8), (dim, side // 16, side // 16)
